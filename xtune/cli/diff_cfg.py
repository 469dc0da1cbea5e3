"""Compare two configs value by value; comments, order and spelling do not count."""

from __future__ import annotations

import argparse
from typing import Any

__all__ = ["add_arguments", "run"]

_ABSENT = object()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    parser.add_argument("a", help="name or path of a config")
    parser.add_argument("b", help="name or path of another")


def run(args: argparse.Namespace) -> None:
    """Print each key whose value differs, with both values and where they were set."""
    from xtune.config import Sheet, flat_items, render

    a, b = render(args.a), render(args.b)
    in_a, in_b = dict(flat_items(a.values)), dict(flat_items(b.values))
    differing = [key for key in dict.fromkeys([*in_a, *in_b]) if _get(in_a, key) != _get(in_b, key)]

    def side(sign: str, sheet: Sheet, items: dict[str, Any], key: str) -> str:
        if key not in items:
            return f"  {sign} (not set)"
        return f"  {sign} {items[key]!r}  {sheet.origin(key)}"

    for key in differing:
        print(key)
        print(side("-", a, in_a, key))
        print(side("+", b, in_b, key))
    print(f"{len(differing)} of {len(in_a | in_b)} values differ")


def _get(items: dict[str, Any], key: str) -> Any:
    return items.get(key, _ABSENT)
