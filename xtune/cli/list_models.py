"""Print the model families: their checkpoints, the class of each, the proofs, the differences.

xtune list-models
xtune list-models -p chatglm
"""

from __future__ import annotations

import argparse
import sys

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("name", metavar="PATTERN", nargs="?", help="the same as -p")
    which.add_argument(
        "-p", "--pattern", help="only families whose name, model_type or hub id contains this"
    )


def run(args: argparse.Namespace) -> int:
    """Print a block a family; 1 when the pattern fits none."""
    from xtune.cli.lookups import list_models
    from xtune.cli.matching import nothing_matches
    from xtune.models.families import describe
    from xtune.models.families.proofs import PROOFS

    wanted = args.name or args.pattern or ""
    found = list_models(wanted)
    for family in found.values():
        print("\n".join(describe(family)), end="\n\n")
    if not found:
        texts = {
            name: (name, family.title, *family.model_types, *family.published)
            for name, family in list_models().items()
        }
        said = nothing_matches("model family", wanted, texts, "xtune list-models")
        print(said, file=sys.stderr)
        return 1
    print("Proven offline, on tiny random checkpoints in the published layout; no published")
    print("weights could be downloaded where this was made:")
    for name, meaning in PROOFS.items():
        print(f"  {name.replace('_', ' '):18} {meaning}")
    return 0
