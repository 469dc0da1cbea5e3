"""How the processes of a run share its work: the command line's part of the config."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from xtune.errors import UsageError
from xtune.parallel.world import world_of_environment

if TYPE_CHECKING:
    from xtune.config import Sheet

__all__ = ["add_strategy_arguments", "with_strategy"]

_STRATEGIES = {
    "single": "SingleStrategy",
    "ddp": "DDPStrategy",
    "fsdp": "FSDPStrategy",
    "deepspeed": "DeepSpeedStrategy",
}


def add_strategy_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --strategy and --deepspeed."""
    parser.add_argument(
        "--strategy",
        choices=_STRATEGIES,
        help="how the processes share the work (default: the config's; on several ddp, or fsdp "
        "where a GPU cannot hold the model)",
    )
    parser.add_argument(
        "--deepspeed",
        metavar="NAME",
        help="train with DeepSpeed's ZeRO: deepspeed_zero1, 2, 3, 2_offload, 3_offload, or the "
        "path of a JSON file",
    )


def with_strategy(sheet: Sheet, args: argparse.Namespace, options: Sequence[str]) -> Sheet:
    """Put the strategy of the command line into the sheet; ddp where processes were started.

    Raises:
        UsageError: two strategies at once.
    """
    from xtune.config import render

    given = sheet.values.get("strategy")
    strategy = dict(given) if isinstance(given, Mapping) else {}
    name = args.strategy
    if args.deepspeed is not None:
        if name not in (None, "deepspeed"):
            raise UsageError(f"--deepspeed {args.deepspeed} and --strategy {name}: give one")
        name, strategy["config"] = "deepspeed", args.deepspeed
    elif name == "deepspeed" and "config" not in strategy:
        strategy["config"] = "deepspeed_zero2"
    processes = world_of_environment().size
    if name is None and processes > 1 and strategy.get("type") == _STRATEGIES["single"]:
        name = _chosen(sheet, processes)
    if name is None:
        return sheet
    strategy["type"] = _STRATEGIES[name]
    options = [*options, f"strategy={strategy!r}"]
    if name in ("fsdp", "deepspeed"):
        options += _with_divisible_optimizer(sheet, options, name)
    return render(args.config, options)


def _with_divisible_optimizer(sheet: Sheet, options: Sequence[str], name: str) -> list[str]:
    """Return the option that replaces an optimizer of the config, not one of the command line."""
    from xtune.config.rules import divisible_optimizer

    given = (sheet.values.get("optimizer") or {}).get("type")
    chosen = divisible_optimizer(given)
    own = any(option.startswith("optimizer") for option in options)
    if chosen == given or own:  # `check` refuses the latter
        return []
    if int(os.environ.get("RANK", 0)) == 0:
        print(
            f"note: optimizer.type={chosen}, since {name} cannot hold the state of {given} in "
            "parts",
            file=sys.stderr,
        )
    return [f"optimizer.type={chosen}"]


def _chosen(sheet: Sheet, processes: int) -> str:
    """Return 'ddp', or 'fsdp' where each GPU cannot hold the model."""
    import torch

    if not torch.cuda.is_available():
        return "ddp"  # processes on CPUs share a host's memory, or nobody knows how much they have
    from xtune.config import require_valid
    from xtune.config.recipe import recipe_of
    from xtune.errors import ModelError
    from xtune.models.precision import choose_precision
    from xtune.planning.scaling import strategy_that_fits

    require_valid(sheet)
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30
    precision = choose_precision("cuda", recipe_of(sheet.values).precision)
    try:
        return strategy_that_fits(sheet.values, processes, memory, precision)
    except ModelError:  # an architecture that is not known before it is fetched
        return "ddp"
