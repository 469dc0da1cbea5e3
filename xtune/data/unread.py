"""The keys of a row that its map_fn does not read, found by watching which ones it asks for.

    row       {"messages": [{"role": …, "content": …, "mood": "glad"}], "images": ["a.jpg"]}
    asked for  messages      role       content
    unread     images, messages.mood

The map_fn is given the row as a dict that takes note of each key whose value is taken, and so are
the objects inside it. What is handed on whole (a tool's description) counts as read, and so does
what is taken by going over all values, `dict(row)` or `**row`; null and what is empty is nothing
to lose. No list of known keys is needed, so that it holds for a function of the user's own.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from sys import getrefcount
from typing import Any, NamedTuple

from xtune.data.map_fns.base import MapFn, UnusableRow
from xtune.data.map_fns.takes import Takes
from xtune.data.map_fns.watched import Watched, WatchedText, released
from xtune.structures import (
    Conversation,
    Message,
    Preference,
    Ranking,
    UnpairedPreference,
)

__all__ = ["HARMLESS", "Reading", "read_row", "unread_lines"]

# Where a row comes from, and its number: in every other data set, and nothing to train on. They
# are counted as all others are, and not shown to a reader.
HARMLESS = frozenset({"id", "idx", "index", "source", "uid", "uuid"})

_OURS = "xtune.data.map_fns."  # what these make has no keys but those of a Conversation
_ALONE = 2  # references to an object that only one name has: the name's, and the asking's

_MEDIA = re.compile(r"(?:image|img|picture|video|audio)s?(?:_(?:path|url|file|data)s?)?\Z", re.I)
_NOT_MEDIA = "images, videos and sounds are not trained on"
# What rows of preference data have next to an answer: which of two, or whether it is a good one
_VERDICTS = frozenset({"chosen", "kto_tag", "label", "rejected", "rejected_response"})
_ALL_ARE_TRAINED = "good answers and bad ones are trained alike: take rows with bad ones out"
_MARK = re.compile(r"<\|?(?:image|img|video|audio)(?:[_ ]\w+)*\|?>|<ImageHere>", re.IGNORECASE)


class Reading(NamedTuple):
    """What a map_fn has made of a row.

    Attributes:
        made: what it returned.
        unread: the keys that hold something and that it did not ask for, each once: 'images', and
            'messages.mood' for the key of an object inside.
    """

    made: Any
    unread: tuple[str, ...]


def read_row(map_fn: MapFn, row: dict[str, Any]) -> Reading:
    """Run a map_fn on a row and say what it left.

    >>> def asks_only(row):
    ...     return {'text': row['ask']}
    >>> read_row(asks_only, {'ask': 'Why?', 'answer': 'So.', 'note': None})
    Reading(made={'text': 'Why?'}, unread=('answer',))

    Args:
        map_fn: reads it.
        row: the raw row.

    Raises:
        UnusableRow: the map_fn's own; or its text has the mark of an image, a video or a sound that
            stands in a key which the map_fn does not read.
        Exception: the map_fn's own.
    """
    noted: Takes | None = getattr(map_fn, "takes", None)
    left = noted.leaves(row) if noted is not None and noted.function is map_fn else None
    if left is not None:
        made = map_fn(row)
        unread = {key: None for key in sorted(left, key=str) if not _is_nothing(row[key])}
    else:
        made, unread = _watched(map_fn, row)
    if not unread:
        return Reading(made, ())
    _require_no_media(unread, made)
    return Reading(made, tuple(unread))


def _watched(map_fn: MapFn, row: Mapping[str, Any]) -> tuple[Any, dict[str, None]]:
    """Run a map_fn on a row that notes what is taken of it."""
    watched = Watched(row)
    made = map_fn(watched)
    # In a row without lists and objects only the row itself could be in what was made
    if watched.inside or getrefcount(watched) > _ALONE:
        made = released(made)
    unread: dict[str, None] = {}
    taken = watched.taken
    if taken and (watched.inside or not watched.keys() <= taken):
        _collect(watched, "", unread)  # else the values were taken by other ways than a dict's own
    if not getattr(map_fn, "__module__", "").startswith(_OURS):
        _collect_made(made, unread)
    return made, unread


def unread_lines(unread: Mapping[str, int], first: Mapping[str, str] | None = None) -> list[str]:
    """Say it to a reader: the keys of rows in one line, those inside one by one.

    >>> unread_lines({'score': 12, 'messages.mood': 1, 'id': 60}, {'score': 'a.jsonl:3'})
    ['score (12 rows, from a.jsonl:3 on): the map_fn does not read it', "1 row: 'mood' in messages"]

    Args:
        unread: rows by key, as `Reading.unread` has them.
        first: where the first of these rows stands, by key.
    """
    shown = sorted(unread.items(), key=lambda item: -item[1])
    shown = [(key, n) for key, n in shown if key.rpartition(".")[2] not in HARMLESS]
    where = {key: f", from {place} on" for key, place in (first or {}).items()}
    outside = [f"{key} ({_rows(n)}{where.get(key, '')})" for key, n in shown if "." not in key]
    them = "it" if len(outside) == 1 else "them"
    lines = [f"{', '.join(outside)}: the map_fn does not read {them}"] if outside else []
    for key, count in shown:
        inside, dot, name = key.rpartition(".")
        if dot:
            lines.append(f"{_rows(count)}{where.get(key, '')}: {name!r} in {inside}")
    names = [key.rpartition(".")[2] for key, _ in shown]
    if any(map(_MEDIA.match, names)):
        lines.append(_NOT_MEDIA)
    if not _VERDICTS.isdisjoint(names):
        lines.append(_ALL_ARE_TRAINED)
    return lines


def _rows(count: int) -> str:
    return "1 row" if count == 1 else f"{count:,} rows"


def _collect(value: Any, path: str, unread: dict[str, None]) -> None:
    """Put the paths of what was not taken into `unread`."""
    kind = type(value)
    if kind is Watched:
        if not value.keys() <= value.taken:
            for key in sorted(value.keys() - value.taken, key=str):
                if not _is_nothing(dict.__getitem__(value, key)):
                    unread[f"{path}{key}"] = None
        if value.inside:
            for key, one in value.inside.items():
                _collect(one, f"{path}{key}.", unread)
    elif kind is list:
        for one in value:
            if type(one) is not Watched or one.inside or not one.keys() <= one.taken:
                _collect(one, path, unread)
    elif kind is WatchedText and value.parsed is not None:
        _collect(value.parsed, path, unread)


def _collect_made(made: Any, unread: dict[str, None]) -> None:
    """The same for what a function has handed on and nothing after it reads."""
    if not isinstance(made, Mapping):
        return
    for key in made.keys() - (_MADE | _JUDGED if "prompt" in made else _MADE):
        if not _is_nothing(made[key]):
            unread[str(key)] = None
    for part, known in _PARTS.items():
        held = made.get(part) or ()
        answers = [one for one in held if isinstance(one, list)]  # of a ranking, each messages
        for message in (*held, *(message for answer in answers for message in answer)):
            if isinstance(message, Mapping) and not message.keys() <= known:
                for key in sorted(message.keys() - known, key=str):
                    if not _is_nothing(message[key]):
                        unread[f"{part}.{key}"] = None


_MESSAGE = frozenset(Message.__annotations__)
_TURN = frozenset({"system", "input", "output", "output_with_loss"})  # of XTuner's, see build.py
_PARTS = dict.fromkeys(
    ("messages", "prompt", "chosen", "rejected", "answers", "completion"), _MESSAGE
)
_PARTS["conversation"] = _TURN
_JUDGED = (
    Preference.__annotations__.keys()
    | Ranking.__annotations__.keys()
    | UnpairedPreference.__annotations__.keys()
)
_MADE = Conversation.__annotations__.keys() | _PARTS.keys()


def _is_nothing(value: Any) -> bool:
    """Null, an empty text, list or object, and a list or object of nothing but such."""
    if value is None or value != value:  # NaN stands for a missing value in tables
        return True
    if isinstance(value, str):
        return not value.strip()
    if isinstance(value, Mapping):
        return all(
            map(_is_nothing, dict.values(value) if type(value) is Watched else value.values())
        )
    return isinstance(value, list | tuple) and all(map(_is_nothing, value))


def _require_no_media(unread: Mapping[str, None], made: Any) -> None:
    for path in unread:
        if _MEDIA.match(path.rpartition(".")[2]):
            mark = _MARK.search(json.dumps(made, ensure_ascii=False, default=str))
            if mark:
                raise UnusableRow(
                    f"{_NOT_MEDIA}: its text has {mark[0]!r} for what is in "
                    f"{path.rpartition('.')[2]!r}"
                )
            return
