"""Lists and objects that a cell of a table holds as text, as JSON or as a Python literal.

Tables of text (csv) hold nothing else, and others are often written so. It is read, never executed.
"""

from __future__ import annotations

import ast
from typing import Any

from xtune.data import json_text
from xtune.data.map_fns.base import describe
from xtune.data.map_fns.watched import parsed_json
from xtune.errors import DataError

__all__ = ["held", "literal_list", "messages_or_text", "parsed_text"]

_LONGEST = 2_000_000  # characters of a Python literal: ast takes some hundred bytes for each
_DEEPEST = 100  # brackets inside brackets of one


def held(value: object, *, name: str) -> Any:
    """Return the list or object that a text is; any other value, and any other text, as it is.

    >>> held('[5, 6]', name='input_ids'), held("{'a': None}", name='chat'), held('Hi', name='data')
    ([5, 6], {'a': None}, 'Hi')

    Args:
        value: of a field that holds lists or objects.
        name: the field's.

    Raises:
        DataError: a text that begins like a list or an object and is none.
    """
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{", "("):
        return parsed_text(value, name=name)
    return value


def literal_list(value: object, *, name: str) -> list[Any]:
    """Return a list, or the list that a text is; an empty cell of a table is an empty one.

    >>> literal_list("[{'from': 'user', 'value': None}]", name='conversations')
    [{'from': 'user', 'value': None}]

    Args:
        value: as it was read.
        name: of the field, for messages.

    Raises:
        DataError: it is something else.
    """
    if isinstance(value, str):
        value = parsed_text(value, name=name) if value.strip() else []
    if not isinstance(value, list):
        raise DataError(f"{name!r} must be a list, not {describe(value)}")
    return value


def messages_or_text(value: object, *, name: str) -> Any:
    """Return a value of a field that may be messages or a text: JSON of messages is no text.

    Args:
        value: as it was read.
        name: of the field, for messages.

    >>> messages_or_text('[{"role": "user", "content": "Hi"}]', name='chosen')
    [{'role': 'user', 'content': 'Hi'}]
    >>> messages_or_text('[1, 2] is a list.', name='chosen')
    '[1, 2] is a list.'
    """
    if isinstance(value, str) and "role" in value and "content" in value:
        try:
            made = held(value, name=name)
        except DataError:
            return value
        if isinstance(made, list) and made and all(_is_message(one) for one in made):
            return made
    return value


def parsed_text(text: str, *, name: str) -> Any:
    """Return what a text is as JSON, or else as a Python literal, whose tuples become lists.

    Args:
        text: of a cell.
        name: of the field, for messages.

    Raises:
        DataError: it is neither; or a key stands twice in an object.
    """
    try:
        return parsed_json(text)
    except json_text.DuplicateKey as error:
        raise DataError(f"{name!r}: {error}") from error
    except (ValueError, RecursionError):
        pass
    if len(text) > _LONGEST or _depth(text) > _DEEPEST:
        raise DataError(
            f"{name!r} is text, but neither JSON nor a Python literal: {describe(text)}"
        )
    try:
        return parsed_json(text, _literal)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        advice = f"df[{name!r}] = df[{name!r}].map(lambda v: json.dumps(v, default=list))"
        raise DataError(
            f"{name!r} is text, but neither JSON nor a Python literal: {describe(text)} "
            f"({type(error).__name__})"
            + (f". Write it as JSON; in pandas: {advice}" if name.isidentifier() else "")
        ) from error


def _is_message(value: object) -> bool:
    return isinstance(value, dict) and "role" in value and "content" in value


def _literal(text: str) -> Any:
    return _as_lists(ast.literal_eval(text.strip()))


def _as_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _as_lists(one) for key, one in value.items()}
    return [_as_lists(one) for one in value] if isinstance(value, list | tuple) else value


def _depth(text: str) -> int:
    depth = deepest = 0
    for character in text:
        if character in "[({":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "])}":
            depth -= 1
    return deepest
