"""Print the data formats: what each map_fn reads, an example row, and what becomes of it.

xtune list-formats
xtune list-formats alpaca
xtune list-formats -p question     formats with 'question' in their name, title or fields
"""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xtune.data.formats import Format

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("name", nargs="?", help="only this one, with all that is said of it")
    which.add_argument(
        "-p", "--pattern", help="only formats whose name, title or fields contain this"
    )


def run(args: argparse.Namespace) -> int:
    """Print a block a format; 1 when the pattern fits none."""
    from xtune.cli.lookups import list_formats
    from xtune.cli.matching import nothing_matches
    from xtune.errors import UsageError, did_you_mean

    formats = list_formats()
    if args.name is not None:
        if args.name not in formats:
            raise UsageError(
                f"there is no format {args.name!r}{did_you_mean(args.name, formats) or ';'} "
                f"there are: {', '.join(formats)}"
            )
        format = formats[args.name]
        print("\n".join([*_block(format), "", format.reads]))
        return 0
    wanted = args.pattern or ""
    found = list_formats(wanted)
    for format in found.values():
        print("\n".join(_block(format)), end="\n\n")
    if not found:
        texts = {name: (each.title, each.fields) for name, each in formats.items()}
        print(nothing_matches("format", wanted, texts, "xtune list-formats"), file=sys.stderr)
        return 1
    print(f"{len(found)} formats. In a config: map_fn = 'alpaca', or 'auto' to recognise the rows,")
    print("or your own: map_fn = 'path/to/file.py:name'")
    return 0


def _block(format: Format) -> list[str]:
    from xtune.data.formats import kind_of

    switches = ", ".join(f"{name}={default!r}" for name, default in format.switches.items())
    return [
        f"{format.name}  {format.title}",
        f"  reads     {format.fields}",
        *([f"  switches  {switches}"] if switches else []),
        f"  row       {_json(format.row)}",
        f"  becomes   {kind_of(format.becomes)} {_json(format.becomes)}",
    ]


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
