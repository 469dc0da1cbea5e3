"""`Watched`: a row that notes which of its values are taken, and so do the objects inside it.

It is a dict to whoever reads it. What is handed on whole counts as taken with all that is in it,
and so does what is taken by going over all values, `dict(row)` or `**row`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from xtune.data import json_text
from xtune.data.sources.columns import Struct

__all__ = ["OPENINGS", "Watched", "WatchedText", "parsed_json", "peek", "released"]


class Watched(dict[str, Any]):
    """A dict that notes the keys whose values are taken; objects inside it do the same.

    Attributes:
        taken: these keys, and perhaps some that it does not have.
        inside: of these, the values that are watched.
    """

    __slots__ = ("columns", "inside", "taken")

    def __init__(self, values: Mapping[str, Any]) -> None:
        dict.__init__(self, values)
        self.taken: set[str] = set()
        self.inside: dict[str, Any] | None = None
        if type(values) is not dict:  # a Struct
            self.columns: frozenset[str] = getattr(values, "columns", frozenset())

    def __missing__(self, key: str) -> None:
        if key not in getattr(self, "columns", ()):
            raise KeyError(key)

    # These two are called a dozen times for each row of a million
    def __getitem__(self, key: str) -> Any:
        value = dict.__getitem__(self, key)
        self.taken.add(key)
        kind = type(value)
        if (kind is str and value[:1] not in OPENINGS) or kind in _SCALARS:
            return value
        return self._inside(key, value)

    def get(self, key: str, default: Any = None) -> Any:
        """Return the value, or `default`.

        Args:
            key: of the value.
            default: returned where there is none.
        """
        value = dict.get(self, key, default)
        self.taken.add(key)
        kind = type(value)
        if (kind is str and value[:1] not in OPENINGS) or kind in _SCALARS:
            return value
        return self._inside(key, value)

    def __setitem__(self, key: str, value: Any) -> None:
        self.taken.add(key)  # the function's own
        super().__setitem__(key, value)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """Return the value; where there is none, `default` is put there.

        Args:
            key: of the value.
            default: put there where there is none.
        """
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *values: Any, **named: Any) -> None:
        """Put the function's own values there."""
        for key, value in dict(*values, **named).items():
            self[key] = value

    def pop(self, key: str, *default: Any) -> Any:
        """Take a key out."""
        value = self.get(key)
        dict.pop(self, key, *default)
        return value if value is not None or not default else default[0]

    def __iter__(self) -> Iterator[str]:
        # That this is defined makes `dict(row)` and `**row` ask for the values one by one
        return dict.__iter__(self)

    def values(self) -> Any:
        """Take all values."""
        return [self[key] for key in self]

    def items(self) -> Any:
        """Take all values."""
        return [(key, self[key]) for key in self]

    def copy(self) -> Any:
        """Take all values."""
        return dict(self.items())

    def __or__(self, other: Any) -> Any:
        return self.copy() | released(other)

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()

    def __repr__(self) -> str:
        return repr(released(self))

    def __reduce__(self) -> Any:
        return dict, (released(self),)  # what is copied or pickled is a plain dict

    def __reduce_ex__(self, _: Any) -> Any:
        return self.__reduce__()

    def _inside(self, key: str, value: Any) -> Any:
        """A value that may hold objects, those watched; the same each time that it is taken."""
        if self.inside is None:
            self.inside = {}
        elif key in self.inside:
            return self.inside[key]
        made = WatchedText(value) if type(value) is str else _watched(value)
        if made is not value and key in self:
            self.inside[key] = made
            dict.__setitem__(self, key, made)
        return made


_SCALARS = frozenset({type(None), bool, int, float, Watched})
OPENINGS = frozenset("[{ \n\t")  # what a text that is JSON may begin with


class WatchedText(str):
    """A text that may be JSON: what it is parsed to is watched with the row that it stands in.

    Attributes:
        parsed: what `parsed_json` has made of it; None before.
    """

    parsed: Any = None


def parsed_json(text: str, parse: Callable[[str], Any] = json_text.loads) -> Any:
    """Parse a text, as JSON by default; objects in a watched row's text are watched too.

    Args:
        text: to parse; a part of a watched row, or any other.
        parse: makes an object of it.
    """
    made = parse(text)
    if isinstance(text, WatchedText):
        made = text.parsed = _watched(made)
    return made


_HOLDERS = frozenset({dict, list, Struct})


def _watched(value: Any) -> Any:
    if type(value) is dict or type(value) is Struct:
        return Watched(value)
    if type(value) is list and not _HOLDERS.isdisjoint(map(type, value)):
        return [_watched(one) for one in value]
    return value


def peek(values: Mapping[str, Any], key: str) -> Any:
    """Return a value without taking it, or None.

    Args:
        values: a row, watched or not.
        key: of the value.
    """
    return dict.get(values, key) if isinstance(values, dict) else values.get(key)


def released(value: Any) -> Any:
    """Return the same without watches, all of it taken: a value handed on whole is read."""
    kind = type(value)
    if kind is Watched:
        return {key: released(one) for key, one in value.items()}
    if kind is dict:
        for key, one in value.items():
            if type(one) is not str and (new := released(one)) is not one:
                value[key] = new
        return value
    if kind is list:
        if not _RELEASABLE.isdisjoint(map(type, value)):
            for place, one in enumerate(value):
                if (new := released(one)) is not one:
                    value[place] = new
        return value
    if kind is tuple:
        return tuple(map(released, value))
    return str.__str__(value) if kind is WatchedText else value


_RELEASABLE = frozenset({dict, list, tuple, Watched, WatchedText})
