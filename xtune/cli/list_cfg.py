"""Print the names of the shipped configs, one a line."""

from __future__ import annotations

import argparse

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("-p", "--pattern", help="only names that contain this")


def run(args: argparse.Namespace) -> int:
    """Print the names; 1 when the pattern fits none."""
    from xtune.config import list_configs

    found = list_configs(args.pattern)
    for name in found:
        print(name)
    return 0 if found else 1
