"""Say which file and line set each value of a config, and what was overridden.

KEY is a dotted key, or the beginning of one: lr, optimizer, model.llm.dtype.
"""

from __future__ import annotations

import argparse

__all__ = ["add_arguments", "run"]

_WIDEST_VALUE = 60


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("config", help="name or path of a config")
    parser.add_argument("key", nargs="?", help="only this key and what lies in it")


def run(args: argparse.Namespace) -> None:
    """Print `key = value  origin`, and below it what no longer holds."""
    from xtune.config import flat_items, render
    from xtune.errors import UsageError, did_you_mean

    sheet = render(args.config)
    items = dict(flat_items(sheet.values))
    chosen = [key for key in items if args.key is None or f"{key}.".startswith(f"{args.key}.")]
    if not chosen:
        known = [*items, *sheet.values]
        raise UsageError(f"{sheet.name} has no {args.key!r}{did_you_mean(args.key, known)}")
    lines = [f"{key} = {_short(repr(items[key]))}" for key in chosen]
    width = min(max(map(len, lines)), _WIDEST_VALUE)
    told: set[str] = set()
    for key, line in zip(chosen, lines, strict=True):
        origins = " <- ".join(map(str, sheet.chain(key)))
        print(f"{line:<{width}}  {origins}")
        name = key.split(".")[0]
        if name not in told:
            told.add(name)
            for old in reversed(sheet.replaced.get(name, ())):
                print(f"    {name} was {_short(old.source)}  {old.origin}")


def _short(text: str) -> str:
    return text if len(text) <= _WIDEST_VALUE else text[: _WIDEST_VALUE - 3] + "..."
