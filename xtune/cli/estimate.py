"""Say what memory a config needs, whether it fits, and the least change that makes it fit.

xtune estimate llama2_7b_qlora_alpaca --gpu-memory 8GB
xtune estimate llama3_8b_full_alpaca --gpu-memory 80GB --devices 8

It runs the model on tensors without values: no weights, no data and no GPU are needed, only the
checkpoint's config.json, which xtune has for every named config. Exit code 0 if the run fits, 1 if
not.
"""

from __future__ import annotations

import argparse

from xtune.cli.gigabytes import gigabytes
from xtune.errors import UsageError
from xtune.garbage import lasting_imports

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    parser.add_argument("config", metavar="CONFIG", help="a config's name or file")
    parser.add_argument(
        "--gpu-memory",
        metavar="GB",
        help="of one GPU: 8GB (default: this machine's GPU; without one, the smallest that fits is "
        "named)",
    )
    parser.add_argument(
        "--devices", metavar="N", type=int, default=1, help="how many GPUs (default: 1)"
    )
    parser.add_argument(
        "--cfg-options",
        metavar="K=V",
        nargs="+",
        action="extend",
        default=[],
        help="change the config",
    )


def run(args: argparse.Namespace) -> int:
    """Print the memory that a run needs; return 1 if it does not fit."""
    gib = None if args.gpu_memory is None else gigabytes("--gpu-memory", args.gpu_memory)
    if not 1 <= args.devices <= 1024:
        raise UsageError(f"--devices {args.devices}: give a number from 1 to 1024")

    from xtune.config import render, require_valid
    from xtune.config.recipe import recipe_of

    sheet = render(args.config, args.cfg_options)
    require_valid(sheet, data=False)
    with lasting_imports():
        import torch

        from xtune.models.precision import choose_precision
        from xtune.planning.advice import advice_for, advice_lines
        from xtune.planning.memory import largest_card, smallest_card
        from xtune.planning.requirement import FULL, DeviceMemory, need_of, place_of

    if gib is None and torch.cuda.is_available():
        gib = place_of(torch.device("cuda")).gib
    wanted = recipe_of(sheet.values).precision
    precision = choose_precision("cuda", "bf16" if wanted == "auto" else wanted)
    place = DeviceMemory("cuda", gib, args.devices)
    need = need_of(sheet.values, precision, place)
    estimate = need.estimate
    percent = 100 * estimate.trainable / estimate.parameters
    print(
        f"{sheet.name}: {estimate.trainable:,} trained of {estimate.parameters:,} parameters "
        f"({percent:.2f} %)"
    )
    each = f"on each of {args.devices} devices ({need.strategy}), " if args.devices > 1 else ""
    for number, line in enumerate(need.lines()):
        print(f"{each if number == 0 else ''}{line}")
    print(FULL.words(recipe_of(sheet.values)))
    if need.refusal is not None:
        print(f"refused: {need.refusal}")
        return 1
    if gib is None:
        if card := smallest_card(need.gib):
            print(f"fits a GPU of {card} GB")
            return 0
        place = DeviceMemory("cuda", float(largest_card()), args.devices)
    elif need.fits(place):
        print(f"fits a GPU of {gib:g} GB")
        return 0
    print(
        f"does not fit a GPU of {place.gib:g} GB, of which 10 % are left free; looking for "
        "what would fit",
        flush=True,  # it takes seconds, half a minute at most
    )
    advice = advice_for(sheet.values, precision, place, need=need)
    for line in advice_lines(advice, place):
        print(line.replace("CONFIG", args.config))
    return 1
