"""Copy a config, flat, to edit it: the copy holds everything and includes nothing."""

from __future__ import annotations

import argparse
from pathlib import Path

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("config", help="name or path of a config")
    parser.add_argument("dest", type=Path, help="folder for NAME_copy.py, or a new .py file")


def run(args: argparse.Namespace) -> None:
    """Write the flat copy; never over a file that exists."""
    from xtune.config import render
    from xtune.errors import UsageError

    sheet = render(args.config)
    dest: Path = args.dest.expanduser()
    if dest.suffix != ".py":
        dest = dest / f"{sheet.name}_copy.py"
    try:
        if not dest.parent.exists():
            dest.parent.mkdir(parents=True)
        with dest.open("x", encoding="utf-8") as file:
            file.write(sheet.text)
    except FileExistsError:
        raise UsageError(f"{dest} exists already: give another name, or delete it") from None
    except OSError as error:
        raise UsageError(f"{dest} cannot be written: {error}") from error
    print(f"{dest}\nedit it, then: xtune check {dest}; xtune train {dest}")
