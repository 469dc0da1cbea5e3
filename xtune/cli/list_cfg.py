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

__all__ = ["add_arguments", "run"]


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
    from xtune.cli.lookups import list_configs
    from xtune.cli.matching import nothing_matches

    card = None if args.gpu_memory is None else gigabytes("--gpu-memory", args.gpu_memory)
    patterns = [*args.patterns, *filter(None, [args.pattern])]
    found = list_configs()
    for count, pattern in enumerate(patterns, start=1):
        left = list_configs(*patterns[:count])
        if not left:
            among = nothing_matches("config", pattern, dict.fromkeys(found, ()), "xtune list-cfg")
            print(among, file=sys.stderr)
            return 1
        found = left
    total = len(found)
    if card is not None:
        found = list_configs(*patterns, gpu_memory=card)
    if not found:
        print(
            f"none of {total} fits a GPU of {card:g} GB, of which 10 % are left free; "
            "xtune estimate NAME --gpu-memory says what makes one fit",
            file=sys.stderr,
        )
        return 1
    width = max(map(len, found))
    for row in found.values():
        unit = "GB " if row.is_for_laptop else "GiB"  # as its docstring has it
        memory = "" if row.memory is None else f"{row.memory:g} {unit}"
        print(f"{row.name:<{width}}  {memory:>9}  {row.place}".rstrip())
    return 0
