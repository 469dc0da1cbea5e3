"""Run a few steps of a config under torch's profiler, and say where time and memory go.

xtune profile smollm2_135m_lora_toolcall --steps 3 --cfg-options accumulative_counts=2
NPROC_PER_NODE=2 xtune profile llama3_8b_full_alpaca --strategy fsdp

Forward and backward seconds by part (attention, linear, norm, MLP activation, loss, optimizer,
data, communication), what each keeps for the backward pass, and how far a step is from the limit
by this device's own measured products and copies. The work dir gets profile.txt, and trace.json
for https://ui.perfetto.dev. Nothing is saved of the training.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from xtune.cli.strategy import add_strategy_arguments
from xtune.errors import UsageError

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("config", metavar="CONFIG", help="a config's name or file")
    parser.add_argument(
        "--steps", metavar="N", type=int, default=3, help="steps to profile (default: 3)"
    )
    parser.add_argument(
        "--work-dir",
        metavar="D",
        type=Path,
        help="where results go (default: work_dirs/CONFIG_profile)",
    )
    add_strategy_arguments(parser)
    parser.add_argument(
        "--cfg-options",
        metavar="K=V",
        nargs="+",
        action="extend",
        default=[],
        help="change the config",
    )


def run(args: argparse.Namespace) -> int:
    """Profile, and print the table."""
    if args.steps < 1:
        raise UsageError(f"--steps {args.steps}: give a number of 1 or more")
    from xtune.cli.launch import launch, wanted_processes
    from xtune.engine.runner import Runner
    from xtune.engine.start import sheet_to_run

    if wanted_processes() > 1:
        words = sys.argv[1:]
        return launch(words if words[:1] == ["profile"] else ["profile", *words])
    quiet = [
        f"train_cfg.max_steps={args.steps + 1}",  # the first one warms up
        "val_dataset=None",
        "custom_hooks=[]",
        "default_hooks={'progress': {'type': 'ProgressHook'}, 'profile': {'type': 'ProfileHook', "
        f"'steps': {args.steps}}}}}",
    ]
    options = [*args.cfg_options, *quiet]
    sheet = sheet_to_run(args.config, options, strategy=args.strategy, deepspeed=args.deepspeed)
    work_dir = args.work_dir or Path(f"work_dirs/{sheet.name}_profile")
    trained = Runner(sheet, work_dir=work_dir).train()
    if trained.world.is_main:
        print("\n".join(trained.hooks["profile"].lines))
    return 0
