"""Copy a config, flat, to edit it: the copy holds everything and includes nothing."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("config", help="name or path of a config")
    parser.add_argument(
        "dest",
        type=Path,
        nargs="?",
        default=Path("."),
        help="folder for NAME_copy.py, or a new .py file (default: this folder)",
    )


def run(args: argparse.Namespace) -> None:
    """Write the flat copy; never over a file that says something else."""
    from xtune.config import render

    copy = render(args.config).save(args.dest)
    given = shlex.quote(str(copy))
    print(f"{copy}\nedit it, then: xtune check {given}; xtune train {given}")
