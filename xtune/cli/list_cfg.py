"""Print the names of the shipped configs, one a line, and the memory that each needs.

xtune list-cfg
xtune list-cfg internlm2 qlora     those whose names hold both
xtune list-cfg --gpu-memory 8GB    those that fit such a GPU, what takes most of it first

Memory is the estimate for one GPU in bf16, as `xtune estimate NAME` makes it, and after it the
smallest GPU of which it leaves a tenth free. What is meant for a CPU has the host's memory.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import NamedTuple

__all__ = ["add_arguments", "run"]


class _Row(NamedTuple):
    name: str
    gib: float | None  # on one GPU, or for a laptop in the host's memory
    place: str
    is_for_laptop: bool


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument(
        "patterns", metavar="PATTERN", nargs="*", help="only names that contain this, and this"
    )
    parser.add_argument("-p", "--pattern", metavar="PATTERN", help="the same, as in XTuner")
    parser.add_argument("--gpu-memory", metavar="GB", help="only what fits one such GPU: 8GB")


def run(args: argparse.Namespace) -> int:
    """Print a line a config; 1 when there is none."""
    from xtune.cli.gigabytes import gigabytes
    from xtune.cli.matching import matches, nothing_matches
    from xtune.config import list_configs
    from xtune.config.find import xtuners_name
    from xtune.config.foreign_configs import answer_to_config
    from xtune.models.cards import fits

    card = None if args.gpu_memory is None else gigabytes("--gpu-memory", args.gpu_memory)
    patterns = [*args.patterns, *filter(None, [args.pattern])]
    configs = list_configs()
    found = configs
    for pattern in patterns:
        theirs = xtuners_name(pattern)
        wanted = theirs[0] if theirs else pattern
        left = {name: path for name, path in found.items() if matches(wanted, [name])}
        if not left:
            among = nothing_matches("config", pattern, dict.fromkeys(found, ()), "xtune list-cfg")
            answer = answer_to_config(pattern, configs)
            print(f"{among}{answer and f' ({answer})'}", file=sys.stderr)
            return 1
        found = left
    rows = [_row(name, path) for name, path in found.items()]
    if card is not None:
        total = len(rows)
        rows = [row for row in rows if row.gib is not None and fits(row.gib, card)]
        rows.sort(key=lambda row: (row.is_for_laptop, -(row.gib or 0.0), row.name))
        if not rows:
            print(
                f"none of {total} fits a GPU of {card:g} GB, of which 10 % are left free; "
                "xtune estimate NAME --gpu-memory says what makes one fit",
                file=sys.stderr,
            )
            return 1
    width = max(len(row.name) for row in rows)
    for row in rows:
        unit = "GB " if row.is_for_laptop else "GiB"  # as its docstring has it
        memory = "" if row.gib is None else f"{row.gib:g} {unit}"
        print(f"{row.name:<{width}}  {memory:>9}  {row.place}".rstrip())
    return 0


def _row(name: str, path: Path) -> _Row:
    from xtune.config.notes import estimated_gib, laptop_gib, notes
    from xtune.models.cards import smallest_card

    hardware = notes(path).get("Hardware", "")
    gib = estimated_gib(hardware)
    if gib is not None:
        card = smallest_card(gib)
        return _Row(name, gib, f"{card} GB GPU" if card else "several GPUs", False)
    gib = laptop_gib(hardware)
    return _Row(name, gib, "CPU" if gib is not None else hardware.partition(";")[0], True)
