"""`map_fn='auto'`: which format the first rows have, and why.

Every registered map_fn is tried on the rows themselves:

    fits        it makes something of at least one row and fails at none
    reads most  of those that fit, the ones that read the most fields of the rows
    alike       where several are left, they must make the same of every row; else nobody can tell

Nothing is guessed: rows that fit two formats with different outcomes are an error that names both.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Any, NamedTuple

from xtune.data.formats import Format, all_formats, kind_of, read_fields
from xtune.data.map_fns.base import MapFn, UnusableRow, fault
from xtune.data.map_fns.build import build_map_fn
from xtune.data.sources.base import Source, why_empty
from xtune.errors import DataError

__all__ = [
    "Ambiguous",
    "Choice",
    "look_of",
    "map_fn_for",
    "most_fitting",
    "nearest",
    "other_choice",
    "recognise",
]

_ROWS = 100  # looked at
_CANDIDATES = 3  # shown where none fits
_PROBED = 10  # of these, the ones in which fields are left out by turns

# Where several formats make the same of the rows, the first of these is named.
_PREFERRED = ("openai", "sharegpt", "alpaca", "default", "gsm8k", "code_alpaca", "preference")
# Formats that find marks inside a text, and by them beat the one that takes it as it is.
_FINDS_MARKS = {
    "pretrain": ("oasst1",),
    "alpaca": ("belle", "guanaco"),
    "sharegpt": ("msagent",),
    "code_alpaca": ("prompt_completion",),  # messages in a cell of a table
    "preference": ("rm_static", "oasst1_pairwise"),
}
# Formats that rewrite dialogues which others read as they stand: chosen by name only.
_BY_NAME_ONLY = ("msagent_react", "wizardlm")

_YOUR_OWN = "xtune list-formats shows all; your own: map_fn='path/to/file.py:name'"

_Rows = Sequence[tuple[str, dict[str, Any]]]


class Ambiguous(DataError):
    """Rows that fit several formats, with different outcomes."""


class Choice(NamedTuple):
    """What was recognised.

    Attributes:
        format: the format.
        why: for a reader.
    """

    format: Format
    why: str


class _Fit(NamedTuple):
    format: Format
    outcomes: list[object]
    fields: set[str]


def map_fn_for(source: Source, named: str | MapFn | Mapping[str, Any]) -> tuple[MapFn, str]:
    """Return the function that reads a source, and with 'auto' what was recognised and why.

    Args:
        source: its first rows are looked at with 'auto', and none else.
        named: a config's map_fn.

    Raises:
        DataError: with 'auto' no format, or none alone, fits.
        RegistryError: nothing has that name.
    """
    if named != "auto":
        return build_map_fn(named), ""
    choice = recognise(source.rows(), source=source)
    return choice.format.map_fn, f"{choice.format.name}: {choice.why}"


def recognise(all_rows: Iterable[tuple[str, dict[str, Any]]], *, source: object = None) -> Choice:
    """Find the one format that the first rows of a source have.

    Args:
        all_rows: what the source's `rows()` gives; the first hundred are looked at.
        source: where they come from, to say why there are none.

    Raises:
        DataError: there are no rows, no format fits, or several fit and differ; the last two say
            what the candidates are and what they read.
    """
    rows = list(islice(all_rows, _ROWS))
    if not rows:
        why = "" if source is None else f": {why_empty(source)}"
        raise DataError(f"map_fn='auto': the data set is empty, so its format cannot be told{why}")
    candidates = [f for name, f in all_formats().items() if name not in _BY_NAME_ONLY]
    fits = [fit for format in candidates if (fit := _tried(format, rows))]
    # Whatever has answers can be read as prompts without them.
    fits = [fit for fit in fits if _kind(fit) != "prompt"] or fits
    if not fits:
        raise DataError(_unknown(rows))
    most = max(len(fit.fields) for fit in fits)
    left = _best_marked([fit for fit in fits if len(fit.fields) == most])
    if any(_plain(fit) != _plain(left[0]) for fit in left):
        raise Ambiguous(_ambiguous(left, rows))
    left.sort(key=lambda fit: _rank(fit.format.name))
    return Choice(left[0].format, _why(left, rows))


def look_of(all_rows: Iterable[tuple[str, dict[str, Any]]], map_fn: MapFn) -> str:
    """Say what the first rows look like and what would read them, where `map_fn` reads one not.

    >>> from xtune.data.map_fns.openai import openai_map_fn
    >>> look_of([('a.jsonl:1', {'question': '2?', 'answer': '2'})], openai_map_fn)
    "The first row has question, answer: map_fn='gsm8k' reads that"

    Args:
        all_rows: of the source, from its first on.
        map_fn: what has failed, at one of them or at a later one.
    """
    rows = list(islice(all_rows, _ROWS))
    if not rows:
        return ""
    has, them = ("has", "that") if len(rows) == 1 else ("have", "them")
    look = f"{_first(rows).capitalize()} {has} {_list(_fields(rows))}"
    try:
        choice = recognise(rows)
    except Ambiguous as error:
        return f"{look}. {error}"
    except DataError:
        choice = None
    if choice is not None and choice.format.map_fn is not map_fn:
        return f"{look}: map_fn={choice.format.name!r} reads {them}"
    if any(_reads(map_fn, row) for _, row in rows):
        return (
            f"{look}, and others of them are read: correct this row or take it out. xtune "
            "check-dataset FILE lists all such rows"
        )
    near = _nearest_lines(rows)
    none = f"{look}, and no map_fn that comes with xtune reads {them}"
    near = [*near, *_columns_of(rows), _YOUR_OWN]
    return "\n".join([f"{none}; the nearest:" if len(near) > 1 else none, *near])


def other_choice(all_rows: Iterable[tuple[str, dict[str, Any]]], map_fn: MapFn) -> Choice | None:
    """Return the format that the first rows have, if there is one, and `map_fn` is another.

    Args:
        all_rows: each with where it stands; the first are looked at.
        map_fn: that was named for them.
    """
    try:
        choice = recognise(all_rows)
    except DataError:
        return None
    return None if choice.format.map_fn is map_fn else choice


def _reads(map_fn: MapFn, row: dict[str, Any]) -> bool:
    try:
        map_fn(dict(row))
    except Exception:  # a user's own function may fail in any way
        return False
    return True


def _fields(rows: _Rows) -> list[str]:
    """The rows' fields; of one that is not in all, in how many; of lists of objects, their keys."""
    counts = Counter(name for _, row in rows for name in row)
    shown = []
    for name, count in counts.items():
        value = next(row[name] for _, row in rows if name in row)
        keys = [key for one in value for key in one] if _are_objects(value) else []
        inside = f" of {{{_list(list(dict.fromkeys(map(str, keys))))}}}" if keys else ""
        some = "" if count == len(rows) else f" (in {count})"
        shown.append(f"{name}{inside}{some}")
    return shown


def _are_objects(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(one, Mapping) for one in value)


def most_fitting(rows: _Rows) -> Choice | None:
    """Return the format that reads the most of the rows, if that is more than half but not all.

    For rows that `recognise` refuses because some of them are wrong. A format that reads them all
    was refused for another reason, which no count can settle.
    """
    by_name = {}
    for name, format in all_formats().items():
        if name not in _BY_NAME_ONLY:
            made = sum(_can_read(format, row) for _, row in rows)
            by_name[name] = (made, len(format.required) + len(format.optional), format)
    most = max((made, fields) for made, fields, _ in by_name.values())
    if not len(rows) / 2 < most[0] < len(rows):
        return None
    best = sorted((name for name, fit in by_name.items() if fit[:2] == most), key=_rank)
    why = f"{most[0]} of {_first(rows)} can be read so"
    return Choice(by_name[best[0]][2], why)


def _can_read(format: Format, row: dict[str, Any]) -> bool:
    try:
        format.map_fn(row)
    except UnusableRow:
        return True
    except DataError:
        return False
    return True


def nearest(row: Mapping[str, Any]) -> list[tuple[Format, dict[str, str]]]:
    """Return the formats whose fields a row has, or nearly has; the nearest first.

    With each stand the fields that the row misses, and for each of these the row's field of
    nearly the same name, or ''.

    >>> [(format.name, missing) for format, missing in nearest({'message': []})][0]
    ('openai', {'messages': 'message'})
    """
    found = []
    for format in all_formats().values():
        missing = {name: _near(name, row) for name in format.missing(row)}
        lacking = sum(0.5 if near else 1 for near in missing.values())
        if lacking < len(format.required):
            found.append(((lacking, -len(format.required), _rank(format.name)), format, missing))
    return [(format, missing) for _, format, missing in sorted(found, key=lambda one: one[0])]


def _near(name: str, row: Mapping[str, Any]) -> str:
    return next(iter(get_close_matches(name, row, n=1, cutoff=0.7)), "")


def _tried(format: Format, rows: _Rows) -> _Fit | None:
    outcomes: list[object] = []
    fields: set[str] = set()
    for _, row in rows:
        try:
            outcomes.append(format.map_fn(row))
        except UnusableRow as unusable:
            outcomes.append(unusable.reason)
        except DataError:
            return None
    made = [row for (_, row), outcome in zip(rows, outcomes, strict=True) if _is_made(outcome)]
    for row in made[:_PROBED]:
        needed, read = read_fields(format.map_fn, row)
        # What is empty in these rows is read all the same.
        fields.update(needed, read, (name for name in format.optional if name in row))
    return _Fit(format, outcomes, fields) if made else None


def _is_made(outcome: object) -> bool:
    return not isinstance(outcome, str)


def _plain(fit: _Fit) -> list[object]:
    """What it makes of the rows, whatever it says of how it found the prompt."""
    return [made | {"form": ""} if isinstance(made, dict) else made for made in fit.outcomes]


def _kind(fit: _Fit) -> str:
    return kind_of(next(made for made in fit.outcomes if isinstance(made, dict)))


def _best_marked(fits: list[_Fit]) -> list[_Fit]:
    """The one that finds marks in the text where others see none, if there is exactly one."""
    by_name = {fit.format.name: fit for fit in fits}
    for plain, marked in _FINDS_MARKS.items():
        if plain in by_name:
            finding = [
                by_name[name]
                for name in marked
                if name in by_name and by_name[name].outcomes != by_name[plain].outcomes
            ]
            if len(finding) == 1:
                return finding
    return fits


def _rank(name: str) -> tuple[int, str]:
    return (_PREFERRED.index(name) if name in _PREFERRED else len(_PREFERRED), name)


def _why(alike: list[_Fit], rows: _Rows) -> str:
    chosen, *others = alike
    seen = dict.fromkeys(name for _, row in rows for name in row)
    read = [name for name in seen if name in chosen.fields]
    unread = [name for name in seen if name not in chosen.fields]
    why = f"{_first(rows)} {'has' if len(rows) == 1 else 'have'} {_list(read)}"
    if unread:
        why += f"; not read: {_list(unread)}"
    if others:
        verb = "reads" if len(others) == 1 else "read"
        why += f"; {_list([fit.format.name for fit in others])} {verb} them alike"
    return why


def _ambiguous(fits: list[_Fit], rows: _Rows) -> str:
    lines = [
        f"map_fn='auto' cannot tell the format: {_first(rows)}, from {rows[0][0]} on, can be read "
        "in several, with different outcomes. Name one of:"
    ]
    lines += [f"  map_fn={fit.format.name!r}  {fit.format.title}" for fit in fits]
    return "\n".join([*lines, "xtune list-formats NAME shows what each makes of a row"])


def _unknown(rows: _Rows) -> str:
    where, row = rows[0]
    lines = [
        f"map_fn='auto': no format fits {_first(rows)}, from {where} on. "
        f"Fields seen: {_list(list(row)) or 'none'}."
    ]
    return "\n".join([*lines, *_nearest_lines(rows), *_columns_of(rows), _YOUR_OWN])


# What columns of requests and of answers are called
_ANSWERS = {"answer", "assistant", "completion", "output", "reply", "response", "target"}
_REQUESTS = {"context", "human", "input", "instruction", "prompt", "query", "question", "user"}


def _columns_of(rows: _Rows) -> Iterator[str]:
    """What could be said of rows of texts that no format fits; nothing where it cannot be told."""
    row = rows[0][1]
    if listed := [one for one in row.values() if isinstance(one, Mapping) and "file_name" in one]:
        yield (
            "This is LLaMA-Factory's list of data sets: name the file itself, "
            f"data_path={listed[0]['file_name']!r}"
        )
        return
    texts = [name for name, value in row.items() if isinstance(value, str)]
    answers = [name for name in texts if name.lower() in _ANSWERS]
    asked = [name for name in texts if name.lower() in _REQUESTS]
    if len(texts) == 2 and not (answers and asked):
        first, second = texts
        is_first = answers == [first] or asked == [second]
        asked, answers = ([second], [first]) if is_first else ([first], [second])
    if len(answers) == 1 and asked:
        named = {"type": "columns", "asked": asked if len(asked) > 1 else asked[0]}
        yield f"Where {answers[0]} answers: map_fn={named | {'answer': answers[0]}}"


def _nearest_lines(rows: _Rows) -> list[str]:
    lines: list[str] = []
    told: set[str] = set()
    for format, missing in nearest(rows[0][1]):
        about = _lacks(missing) if missing else _first_failure(format, rows)
        if about not in told and len(told) < _CANDIDATES:
            lines.append(f"  {format.name} reads {format.fields}: {about}")
        told.add(about)
    return lines


def _lacks(missing: Mapping[str, str]) -> str:
    fields = [
        f"{name!r} (perhaps the row's {near!r})" if near else repr(name)
        for name, near in missing.items()
    ]
    return f"there is no {_list(fields)}"


def _first_failure(format: Format, rows: _Rows) -> str:
    reasons = []
    for where, row in rows:
        try:
            format.map_fn(row)
        except UnusableRow as unusable:
            reasons.append(unusable.reason)
        except DataError as error:
            return f"{where}: {fault(error)}"
    return f"no row can be used: {reasons[0]}"


def _first(rows: _Rows) -> str:
    return "the first row" if len(rows) == 1 else f"the first {len(rows):,} rows"


def _list(words: Sequence[str]) -> str:
    return ", ".join(words)
