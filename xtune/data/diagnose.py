"""What is wrong with a file of data, in plain words, with the fix: behind `xtune check-dataset`.

Every row is read, also after one that cannot be, and run through the map_fn. Two kinds of problem
come out, as in training:

    stops     the run would end there: broken JSON, a missing field, a wrong type
    skipped   the row would be counted and left out: an empty answer

Nothing here needs a tokenizer; what a template makes of the rows `xtune log-dataset` shows.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, cast

from xtune.data.formats import kind_of
from xtune.data.map_fns import MapFn, UnusableRow, build_map_fn
from xtune.data.map_fns.base import fault, require_unicode
from xtune.data.map_fns.build import checked_return
from xtune.data.recognise import Choice, look_of, most_fitting, recognise
from xtune.data.row_reading import JUDGED, Makes
from xtune.data.sources.base import Source, why_empty
from xtune.data.sources.files import FilesSource
from xtune.data.unread import read_row
from xtune.errors import DataError

__all__ = ["Diagnosis", "Problem", "diagnose"]

_PLACES = 5  # shown of a problem
_FIRST_ROWS = 100  # that the format is told from

_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*(?:'|…)|"(?:[^"\\]|\\.)*(?:"|…)""")
# Brackets around no others; values one after another
_LISTED = re.compile(r"[\[({][^\[\](){}]*[\])}]|…(?:[:,] …)+")
_CUT_OFF = re.compile(r"[\[({][^\[\](){}]*…")  # by `describe`

# What to do about rows that are skipped, by a word of the reason
_FIXES = {
    "empty answer": "write the answer, or leave them: they are skipped and counted",
    "empty request": "write the request, or leave them: they are skipped and counted",
    "no answer": "they end before an assistant speaks; add its answer, or leave them",
    "are not trained on": "take such rows out, or leave them: they are skipped and counted",
    "only text is trained": "take such rows out, or leave them: they are skipped and counted",
    "say different things": "leave one of the two, or leave the rows: they are skipped and counted",
    "surrogate": "write the character itself, or both halves of its escape (\\ud83d\\ude00)",
}
_LEAVE = "correct them, or leave them: they are skipped and counted"


@dataclass(slots=True)
class Problem:
    """Rows with one fault.

    Attributes:
        what: the fault; of an error, the first row's message.
        stops: whether a run would end there.
        fix: what to do.
        count: how many rows.
        places: where the first of them stand.
    """

    what: str
    stops: bool
    fix: str
    count: int = 0
    places: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Diagnosis:
    """What was found.

    Attributes:
        rows: rows that could be read.
        usable: of these, the ones that something can be learnt from.
        fields: how many rows have each field.
        format: the map_fn's name; '' where none fits.
        why: why this format, or why none.
        kind: what it makes: 'dialogue', 'text', …; '' where no row is usable.
        problems: by fault; those that stop a run first.
        repeated: rows that are the same as an earlier one.
        unread: usable rows by what they hold in a key that the map_fn does not read; see unread.py.
        unread_first: where the first of them stands, by key.
        why_empty: where there are no rows and no problems: what there is instead.
    """

    rows: int = 0
    usable: int = 0
    fields: dict[str, int] = field(default_factory=dict)
    format: str = ""
    why: str = ""
    kind: str = ""
    problems: list[Problem] = field(default_factory=list)
    repeated: int = 0
    unread: dict[str, int] = field(default_factory=dict)
    unread_first: dict[str, str] = field(default_factory=dict)
    why_empty: str = ""

    @property
    def is_for_other_algorithms(self) -> bool:
        """Whether it is sound, and supervised fine-tuning refuses it all the same."""
        return self.kind in (*JUDGED["unpaired"], "prompt")

    def misfit(self, makes: str) -> str:
        """Say what of it a data set does not take, though it is sound; '' where it takes it.

        Args:
            makes: what the data set makes of rows, as row_reading.py has it; of others nobody
                knows.
        """
        taken = JUDGED.get(cast(Makes, makes))
        if taken is not None and self.kind not in ("", *taken):
            wanted = " or ".join(f"{kind}s" for kind in taken)
            return f"it makes {self.kind.removesuffix('s')}s, and the data set takes {wanted}"
        if makes == "dialogues" and self.is_for_other_algorithms:
            return f"it makes {self.kind}s, which supervised fine-tuning cannot learn from"
        return ""

    @property
    def is_trainable(self) -> bool:
        """Whether a run would go through: nothing stops it, and there is something to learn."""
        return self.usable > 0 and not any(problem.stops for problem in self.problems)


def diagnose(
    source: Source,
    map_fn: str | MapFn | Mapping[str, Any] = "auto",
    *,
    max_rows: int | None = None,
) -> Diagnosis:
    """Read a source to its end and say what is wrong with it.

    Args:
        source: the rows.
        map_fn: as a config names it; with 'auto' the format that the first rows have, or where
            some do not have it, the one that most of them have.
        max_rows: read no more than this.

    Raises:
        RegistryError: there is no such map_fn.
    """
    found = Diagnosis()
    problems: dict[str, Problem] = {}

    def on_broken(error: DataError) -> None:
        where, what = _split(error)
        _note(problems, where, what, stops=True, fix="")

    rows = islice(_rows(source, on_broken), max_rows)
    first = list(islice(rows, _FIRST_ROWS))
    function = _named(map_fn, first, found)
    seen: set[bytes] = set()
    for where, row in (pair for part in (first, rows) for pair in part):
        found.rows += 1
        for name in row:
            found.fields[name] = found.fields.get(name, 0) + 1
        size = len(seen)
        seen.add(_digest(row))
        found.repeated += len(seen) == size
        if function is not None:
            _try(function, where, row, found, problems)
    if map_fn != "auto" and function is not None and first and not found.usable:
        found.why = f"no row can be read so. {look_of(first, function)}"
    if not found.rows and not problems:
        found.why_empty = why_empty(source)
    found.problems = sorted(problems.values(), key=lambda one: (not one.stops, -one.count))
    return found


def _rows(
    source: Source, on_broken: Callable[[DataError], None]
) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        if isinstance(source, FilesSource):
            yield from source.rows(on_broken)
        else:
            yield from source.rows()
    except DataError as error:  # of a whole file, after which nothing can be read
        on_broken(error)


def _named(
    map_fn: str | MapFn | Mapping[str, Any], first: list[Any], found: Diagnosis
) -> MapFn | None:
    if map_fn != "auto":
        found.format = str(map_fn)
        return build_map_fn(map_fn)
    if not first:
        return None
    choice: Choice | None
    try:
        choice = recognise(first)
    except DataError as error:
        choice = most_fitting(first)
        if choice is None:
            found.why = str(error)
            return None
    found.format, found.why = choice.format.name, choice.why
    return choice.format.map_fn


def _try(
    function: MapFn,
    where: str,
    row: dict[str, Any],
    found: Diagnosis,
    problems: dict[str, Problem],
) -> None:
    try:
        made, unread = read_row(function, row)
        made = checked_return(made)
        require_unicode(json.dumps(made, ensure_ascii=False, default=str))
    except UnusableRow as unusable:
        fixes = (fix for word, fix in _FIXES.items() if word in unusable.reason)
        _note(problems, where, unusable.reason, stops=False, fix=next(fixes, _LEAVE))
    except DataError as error:
        _note(problems, where, fault(error), stops=True, fix=_fix(str(error)))
    except Exception as error:  # a user's own function may fail in any way
        what = f"the map_fn fails with {type(error).__name__}: {error}"
        _note(problems, where, what, stops=True, fix="correct the function, or the rows")
    else:
        found.usable += 1
        found.kind = found.kind or kind_of(made)
        for key in unread:
            found.unread[key] = found.unread.get(key, 0) + 1
            found.unread_first.setdefault(key, where)


def _note(problems: dict[str, Problem], where: str, what: str, *, stops: bool, fix: str) -> None:
    """Count a fault with those of its kind."""
    problem = problems.setdefault(_kind_of(what) if stops else what, Problem(what, stops, fix))
    problem.count += 1
    if len(problem.places) < _PLACES:
        problem.places.append(where)


def _kind_of(what: str) -> str:
    """A fault without what is each row's own: quoted words, numbers, ids, dates, lists of these.

    >>> _kind_of("row 0xE9 of 2026-11-30: field 'a' must be text, not list [1, 'b', {'c': 2}]")
    'row … of …: field … must be text, not list …'
    """
    said = _QUOTED.sub("…", what)
    said = re.sub(r"[-+]?\w*\d[\w.:+-]*\w|[-+]?\d", "…", said)
    while (shorter := _LISTED.sub("…", said)) != said:
        said = shorter
    return _LISTED.sub("…", _CUT_OFF.sub("…", said))[:120]


def _fix(message: str) -> str:
    missing = re.search(r"has no field ('[^']*')", message)
    if missing:
        return (
            f"add {missing[1]} to these rows, or take them out; if all lack it, name another map_fn"
        )
    if "must be text" in message:
        return "write it as text, in quotes"
    return "correct the rows, or take them out; if all are so, name another map_fn"


def _split(error: DataError) -> tuple[str, str]:
    """The place and the fault of a reader's message, 'data.jsonl:12: broken JSON …'."""
    where, colon, what = str(error).partition(": ")
    return (where, what) if colon else ("", where)


def _digest(row: dict[str, Any]) -> bytes:
    written = json.dumps(row, sort_keys=True, default=str)
    return hashlib.blake2b(written.encode("utf-8", "surrogatepass"), digest_size=12).digest()
