"""Lists that a data set holds as the text of a Python literal: read, never executed."""

from __future__ import annotations

import ast
from typing import Any

from xtune.data import json_text
from xtune.data.map_fns.base import describe
from xtune.data.map_fns.watched import parsed_json
from xtune.errors import DataError

__all__ = ["literal_list"]

_LONGEST = 2_000_000  # characters: ast takes some hundred bytes for each
_DEEPEST = 100  # brackets inside brackets


def literal_list(value: object, *, name: str) -> list[Any]:
    """Return a list, or the list that a text is as JSON or as a Python literal.

    >>> literal_list("[{'from': 'user', 'value': None}]", name='conversations')
    [{'from': 'user', 'value': None}]

    Raises:
        DataError: it is something else, or longer or more deeply nested than data ever are.
    """
    if isinstance(value, str):
        value = _parsed(value, name) if value.strip() else []  # an empty cell of a table
    if not isinstance(value, list):
        raise DataError(f"{name!r} must be a list, not {describe(value)}")
    return value


def _parsed(text: str, name: str) -> Any:
    if len(text) > _LONGEST or _depth(text) > _DEEPEST:
        raise DataError(f"{name!r} is text too long or too deeply nested to be read as a list")
    try:
        return parsed_json(text)
    except json_text.DuplicateKey as error:
        raise DataError(f"{name!r}: {error}") from error
    except (ValueError, RecursionError):
        pass
    try:
        return parsed_json(text, lambda literal: ast.literal_eval(literal.strip()))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise DataError(
            f"{name!r} is text, but neither JSON nor a Python literal: {describe(text)} "
            f"({type(error).__name__})"
        ) from error


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in text:
        if character in "[({":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "])}":
            depth -= 1
    return deepest
