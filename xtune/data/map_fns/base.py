"""What every map_fn shares: its type, the error for a row that is skipped, and field access.

A map_fn is one pure function from a raw row to a Conversation, or for answers that were judged to
a Preference, a Ranking or an UnpairedPreference. Two things can be wrong with a row, and they end
differently:

    the row lacks a field, or holds another type   DataError    fatal: the whole file is another
                                                                format than the map_fn reads
    the row has nothing to learn from              UnusableRow  counted by reason and skipped

The data set adds the place ('data.jsonl:12') to either.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from xtune.errors import DataError
from xtune.structures import Conversation, Preference, Prompt, Ranking, UnpairedPreference

__all__ = [
    "MapFn",
    "UnusableRow",
    "describe",
    "fault",
    "field",
    "flag",
    "is_blank",
    "require_unicode",
    "text_field",
]

_ANOTHER_MAP_FN = (
    ". Name the map_fn that reads these fields, or your own: map_fn='path/to/file.py:name'"
)

MapFn: TypeAlias = Callable[
    [dict[str, Any]], Conversation | Preference | Ranking | UnpairedPreference | Prompt
]


class UnusableRow(DataError):
    """A row from which nothing can be learnt: it is skipped, counted and reported.

    Args:
        reason: a few words that are the same for all rows of this kind ('empty answer'), since
            the report counts by them.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def field(row: Mapping[str, Any], name: str, *, of: str = "the row") -> Any:
    """Return `row[name]`.

    Args:
        row: as it was read.
        name: of the field.
        of: what the row is called in messages.

    Raises:
        DataError: there is no such field; the fields that there are stand in the message.
    """
    try:
        return row[name]  # of a table it may be there and null: see Struct in sources/columns.py
    except KeyError:
        seen = ", ".join(map(repr, row)) or "none"
        raise DataError(
            f"{of} has no field {name!r}; fields seen: {seen}{_ANOTHER_MAP_FN}"
        ) from None


def fault(error: DataError) -> str:
    """Return what an error says is wrong, without the advice to name another map_fn."""
    return str(error).removesuffix(_ANOTHER_MAP_FN)


def text_field(row: Mapping[str, Any], name: str, *, of: str = "the row") -> str:
    """Return the text in `row[name]`; null is the empty text, as in csv files.

    Args:
        row: as it was read.
        name: of the field.
        of: what the row is called in messages.

    Raises:
        DataError: there is no such field, or it holds something else than text.
    """
    value = field(row, name, of=of)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise DataError(f"field {name!r} of {of} must be text, not {describe(value)}")
    return value


def flag(value: object, *, name: str) -> bool:
    """Read a JSON boolean, or one written as text as XTuner's data have it.

    >>> flag(True, name='loss'), flag('False', name='loss'), flag('true', name='loss')
    (True, False, True)

    Args:
        value: as it was read.
        name: of the field, for messages.

    Raises:
        DataError: it is neither.
    """
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    raise DataError(f"{name!r} must be true or false, not {describe(value)}")


def is_blank(text: str) -> bool:
    """Return whether there is nothing but white space in `text`."""
    return not text.strip()


def require_unicode(text: str) -> None:
    """Refuse a text that no tokenizer takes.

    Raises:
        UnusableRow: a broken escape in JSON (a lone '\\ud83d') has left half a character.
    """
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise UnusableRow("half a surrogate pair, which is no character") from error


def describe(value: object) -> str:
    """Return a value's type and a short look at it, for messages.

    >>> describe(42)
    'int 42'
    >>> describe(['a' * 90])
    "list ['aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…"
    """
    shown = repr(value)
    # The rows of a run are dicts that watch what is read of them (unread.py): still dicts to users
    kind = next((kind for kind in (dict, str) if isinstance(value, kind)), type(value))
    return f"{kind.__name__} {shown if len(shown) <= 40 else shown[:39] + '…'}"
