"""JSON as data files have it: a key that stands twice is an error, NaN is null."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["DuplicateKey", "first", "loads"]


class DuplicateKey(ValueError):
    """A key stands twice in one object, and which value is meant nobody can tell."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise DuplicateKey(f"the key {twice!r} stands twice in one object: take one of them out")
    return made


def _constant(constant: str) -> None:
    if constant != "NaN":
        raise ValueError(f"{constant} is no JSON: write a number, or null")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant)


def loads(text: str) -> Any:
    r"""Read a JSON text.

    >>> loads('{"a": NaN}')
    {'a': None}

    Raises:
        json.JSONDecodeError: it is none.
        DuplicateKey: a key stands twice in one object.
        ValueError: Infinity, or a number of thousands of digits.
        RecursionError: thousands of brackets in brackets.
    """
    return _DECODER.decode(text)


def first(text: str, place: int) -> tuple[Any, int]:
    """Read the value that begins at a place in a text, and return where it ends.

    Args:
        text: that holds JSON.
        place: where the value begins, in characters.

    Raises:
        ValueError, RecursionError: as `loads` does.
    """
    return _DECODER.raw_decode(text, place)
