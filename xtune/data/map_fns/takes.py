"""`takes`: what a map_fn of ours takes of a plain row, which then need not be watched.

    @takes(messages="role content", also="tools functions")

    {"messages": [{"role": "user", "content": "Hi"}, …], "id": 7}    plain: `id` is not read
    {"messages": [{…, "tool_calls": […]}], "tools": […]}             watched: see watched.py

Watching costs a row about as much as the map_fn itself. Most rows of the commonest formats hold
nothing but texts, all of which the function takes whatever they say. tests/data/test_unread.py
compares both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from xtune.data.map_fns.watched import OPENINGS
from xtune.data.sources.columns import Struct

__all__ = ["Takes", "takes"]

_Function = TypeVar("_Function", bound=Callable[..., Any])


class Takes(NamedTuple):
    """What a map_fn takes of every row that it makes something of.

    Attributes:
        function: the map_fn itself; a function of the user's own around it takes what it likes.
        texts: fields that are texts.
        objects: field -> the keys of the objects in its list, each a text.
        also: fields that may hold anything: a row that has one is watched.
    """

    function: Callable[..., Any]
    texts: frozenset[str]
    objects: Mapping[str, frozenset[str]]
    also: frozenset[str]

    def leaves(self, row: Mapping[str, Any]) -> list[str] | None:
        """Return the fields of a plain row that are not taken; None for a row to be watched."""
        if type(row) is not dict and type(row) is not Struct:
            return None
        left: list[str] = []
        for key, value in row.items():
            kind = type(value)
            if key in self.texts:
                if kind is not str and value is not None:
                    return None
            elif key in self.objects:
                if kind is not list or not _are_plain(value, self.objects[key]):
                    return None
            elif key not in self.also:
                left.append(key)
            elif value is not None:
                return None
        return left


def takes(*, texts: str = "", also: str = "", **objects: str) -> Callable[[_Function], _Function]:
    """Note what a map_fn takes; see `Takes`. Names are divided by blanks.

    Args:
        texts: names of fields that are texts.
        also: names of further fields.
        objects: names of fields that are objects, each with the names taken of it.
    """

    def noted(function: _Function) -> _Function:
        inside = {field: frozenset(keys.split()) for field, keys in objects.items()}
        function.takes = Takes(  # type: ignore[attr-defined]
            function, frozenset(texts.split()), inside, frozenset(also.split())
        )
        return function

    return noted


def _are_plain(values: list[Any], keys: frozenset[str]) -> bool:
    for one in values:
        if (type(one) is not dict and type(one) is not Struct) or not one.keys() <= keys:
            return False
        for text in one.values():
            if type(text) is not str or text[:1] in OPENINGS:  # it may be JSON with keys inside
                return False
    return True
