"""Copy a config, flat, to edit it: the copy holds everything and includes nothing."""

from __future__ import annotations

import argparse
import re
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
            file.write(_named(sheet.text, sheet.name, shlex.quote(str(dest))))
    except FileExistsError:
        raise UsageError(f"{dest} exists already: give another name, or delete it") from None
    except OSError as error:
        raise UsageError(f"{dest} cannot be written: {error}") from error
    given = shlex.quote(str(dest))
    print(f"{dest}\nedit it, then: xtune check {given}; xtune train {given}")


def _named(text: str, name: str, copy: str) -> str:
    """The sheet whose docstring's `Run:` says how to run the copy, not what it was copied from."""
    docstring = re.match(r'\s*""".*?"""', text, re.S)
    if docstring is None or '"' in copy or "\\" in copy:
        return text
    said = docstring.group()
    said = re.sub(rf"xtune copy-cfg {name} my_run\.py\n\s+", "", said).replace("my_run.py", copy)
    run = re.compile(rf"xtune train {name}(?!\w)")
    return run.sub(lambda _: f"xtune train {copy}", said) + text[docstring.end() :]
