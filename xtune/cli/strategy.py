"""How the processes of a run share its work: the command line's part of the config."""

from __future__ import annotations

import argparse

from xtune.config.strategies import STRATEGY_WORDS

__all__ = ["add_strategy_arguments"]


def add_strategy_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --strategy and --deepspeed."""
    parser.add_argument(
        "--strategy",
        choices=STRATEGY_WORDS,
        help="how the processes share the work (default: the config's; on several ddp, or fsdp "
        "where a GPU cannot hold the model)",
    )
    parser.add_argument(
        "--deepspeed",
        metavar="NAME",
        help="train with DeepSpeed's ZeRO: deepspeed_zero1, 2, 3, 2_offload, 3_offload, or the "
        "path of a JSON file",
    )
