"""Rows of a JSON file: an array, read whole; or objects one after another, streamed.

An object has mostly a line of its own. It may reach over several lines, share a line with others,
and commas may part them, as where someone has taken the brackets of an array away or has put
files together. Where the objects are many and one of them lacks its end, lines tell the next.
"""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from xtune.data import json_text
from xtune.data.sources.compression import type_of
from xtune.data.sources.lines import (
    OnBroken,
    Row,
    first_character,
    lines_of,
    located,
    raise_it,
    whole_text,
)
from xtune.errors import DataError

__all__ = ["read_json"]

_LONGEST = 1 << 28  # characters of one object over several lines
# Whole strings, brackets outside of them, and the quote of a string without an end
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]|"')
_BETWEEN = " \t\r\n,"
_GOES_ON = ("{", "[", ",")  # how a line ends whose object reaches over the next one
# Lists of rows, where a file is one object around them
_OF_MANY_ROWS = {
    *("data", "dataset", "entries", "examples", "instances", "items", "records", "rows", "samples"),
    *("dev", "eval", "test", "train", "val", "validation"),
}
# Lists of objects that one row has
_OF_ONE_ROW = (
    *("messages", "conversations", "conversation", "tools", "tool_calls", "answers", "chat"),
    *("prompt", "chosen", "rejected", "context", "functions", "history", "replies"),
)


class _Value(NamedTuple):
    line: int  # where it begins
    value: Any
    is_a_line: bool = True  # it does not reach over several


def read_json(
    path: Path, fields: Sequence[str] = (), on_broken: OnBroken = raise_it
) -> Iterator[Row]:
    """Read an array of objects, or objects one after another.

    Args:
        path: the file.
        fields: where rows are lists and not objects, the names of their values. An array on each
            line is only expected in a file that is called .jsonl.
        on_broken: called with the error of a row that cannot be read but does not hide the next.

    Raises:
        DataError: broken JSON, text that is not UTF-8, or something else than objects; with the
            line ('file.jsonl:12'), or for an array's element its number ('file.json row 12').
    """
    lists_on_lines = fields and type_of(path) != ".json"
    if first_character(path) == b"[" and not lists_on_lines:
        yield from _read_array(path, fields, on_broken)
        return
    values = _values(path, on_broken)
    first = _first_two(values)
    if len(first) == 1 and isinstance(first[0].value, dict):
        _require_rows(path, first[0].value, is_a_line=first[0].is_a_line)
    for found in (first, values):
        for line, value, _ in found:
            where = f"{path}:{line}"
            if type(value) is dict:
                yield where, value
            else:
                try:
                    checked = _checked_object(value, where, fields)
                except DataError as error:
                    on_broken(error)
                else:
                    yield where, checked


def _first_two(values: Iterator[_Value]) -> list[_Value]:
    """The first, and where that holds lists or objects the next too: it may hold all rows."""
    first = list(islice(values, 1))
    inside = first[0].value.values() if first and isinstance(first[0].value, dict) else ()
    if any(isinstance(one, list | dict) for one in inside):
        first += islice(values, 1)
    return first


def _values(path: Path, on_broken: OnBroken) -> Iterator[_Value]:
    lines = lines_of(path, on_broken)
    again: deque[tuple[int, str]] = deque()  # lines that were taken for a part of one before them
    joins = True
    while (one := again.popleft() if again else next(lines, None)) is not None:
        number, line = one
        if line.isspace():
            continue
        try:
            yield _Value(number, json_text.loads(line))
            continue
        except json.JSONDecodeError:
            pass
        except (ValueError, RecursionError) as error:
            on_broken(_explained(error, path, number))
            continue
        goes_on = joins and not again and line.rstrip().endswith(_GOES_ON)
        texts, taken = _joined(number, line, lines if goes_on else iter(()))
        if texts is None:
            if line.strip() == "{" and taken:
                on_broken(
                    DataError(
                        f"{located(path, number)}: broken JSON: the object that begins here has no "
                        "end. Was the file cut short?"
                    )
                )
                return
            joins = joins and not taken
            again.extend(taken)
            texts = [(number, line)]
        for begins, text in texts:
            try:
                made = json_text.loads(text.strip(_BETWEEN))
            except (ValueError, RecursionError) as error:
                on_broken(_explained(error, path, begins))
            else:
                yield _Value(begins, made, "\n" not in text.strip(_BETWEEN))


def _joined(
    number: int, line: str, following: Iterator[tuple[int, str]]
) -> tuple[list[tuple[int, str]] | None, list[tuple[int, str]]]:
    """Cut a line into whole values, with the lines after it where one reaches over them.

    Returns:
        The texts, each with the line where it begins, None where one has no end; and the lines
        that were taken of those following.
    """
    texts: list[tuple[int, str]] = []
    parts: list[str] = []  # of the value that is not whole
    taken: list[tuple[int, str]] = []
    begins, depth, size = number, 0, 0
    while True:
        done = 0
        for token in _TOKEN.finditer(line):
            mark = token[0]
            if mark in "{[":
                depth += 1
            elif mark == '"':
                return None, taken
            elif mark in "}]":
                depth -= 1
                if depth <= 0:
                    texts.append((begins, "".join([*parts, line[done : token.end()]])))
                    begins, parts, depth, done = number, [], 0, token.end()
        rest = line[done:]
        if not depth:
            if rest.strip(_BETWEEN):
                texts.append((begins, rest))
            return texts, taken
        begins = begins if parts else number
        parts.append(rest)
        size += len(rest)
        one = next(following, None)
        if one is None or size > _LONGEST:
            return None, taken if one is None else [*taken, one]
        taken.append(one)
        number, line = one


def _require_rows(path: Path, whole: Mapping[str, Any], *, is_a_line: bool) -> None:
    """Refuse a file that is one object around all of its rows."""
    name = path.name
    # An object on one line is a row as it is, whatever lists it has, unless the name says otherwise
    lists = [
        key
        for key, value in whole.items()
        if (key in _OF_MANY_ROWS if is_a_line else key not in _OF_ONE_ROW)
        and isinstance(value, list)
        and value
        and all(isinstance(row, dict) for row in value)
    ]
    if lists:
        raise DataError(
            f"{path}: the file is one object, and the rows lie under "
            f'{" and ".join(map(repr, lists))}. Take them out: python -c "import json; '
            f"json.dump(json.load(open('{name}', encoding='utf-8'))['{lists[0]}'], "
            "open('rows.json', 'w'))\""
        )
    columns = list(whole.values())
    if _are_columns(columns):
        raise DataError(
            f"{path}: the file is one object of columns ({', '.join(map(repr, whole))}), as pandas "
            'writes it. Write rows: python -c "import pandas; '
            f"pandas.read_json('{name}', dtype=False, convert_dates=False)"
            ".to_json('rows.jsonl', orient='records', lines=True)\""
        )
    if _are_rows(list(whole), columns):
        raise DataError(
            f"{path}: the file is one object, and each of its {len(whole)} keys "
            f'({", ".join(map(repr, list(whole)[:3]))}, …) has a row. Take them out: python -c "'
            f"import json; json.dump(list(json.load(open('{name}', encoding='utf-8')).values()), "
            "open('rows.json', 'w'))\""
        )


def _are_columns(values: list[Any]) -> bool:
    """{"q": {"0": …, "1": …}, "a": {"0": …, "1": …}}, or lists of texts of one length."""
    if values and all(isinstance(value, dict) and value for value in values):
        numbers = values[0].keys()
        return all(key.isdigit() for key in numbers) and all(v.keys() == numbers for v in values)
    return (
        len(values) > 1
        and all(isinstance(value, list) and len(value) > 1 for value in values)
        and len({len(value) for value in values}) == 1
        and all(isinstance(one, str) for value in values for one in value)
    )


def _are_rows(keys: list[str], values: list[Any]) -> bool:
    """{"0": {"q": …, "a": …}, "1": {"q": …, "a": …}}."""
    alike = all(isinstance(v, dict) and v and v.keys() == values[0].keys() for v in values)
    return alike and len(values) > (1 if all(key.isdigit() for key in keys) else 2)


def _read_array(path: Path, fields: Sequence[str], on_broken: OnBroken) -> Iterator[Row]:
    text = whole_text(path)
    rows: Iterator[Any]
    try:
        rows = iter(json_text.loads(text))
    except json.JSONDecodeError as error:
        if error.msg == "Extra data" and text[error.pos] == "[":
            raise _several_arrays(path, text, error) from error
        raise _explained(error, path, 1) from error
    except RecursionError as error:
        raise _explained(error, path, 1) from error
    except ValueError as error:
        rows = iter(_elements(text, path, error))
    for number, row in enumerate(rows, start=1):
        where = f"{path} row {number}"
        try:
            if isinstance(row, ValueError):
                raise DataError(f"{where}: broken JSON: {row}") from row
            checked = _checked_object(row, where, fields)
        except DataError as error:
            on_broken(error)
        else:
            yield where, checked


def _elements(text: str, path: Path, error: ValueError) -> Iterator[Any]:
    """The values of an array one by one; in place of one that is refused, why it is.

    Raises:
        DataError: not even that can be read.
    """
    lenient = json.JSONDecoder(parse_int=str)
    place = text.index("[") + 1
    while (place := _skip(text, place)) < len(text) and text[place] != "]":
        try:
            value, end = json_text.first(text, place)
        except ValueError as refused:
            value = refused
            try:
                _, end = lenient.raw_decode(text, place)
            except ValueError:
                raise _explained(error, path, 1) from error
        yield value
        place = end


def _skip(text: str, place: int) -> int:
    while place < len(text) and text[place] in _BETWEEN:
        place += 1
    return place


def _several_arrays(path: Path, text: str, error: json.JSONDecodeError) -> DataError:
    first = next(iter(json_text.first(text, text.index("["))[0]), None)
    if isinstance(first, dict) and "role" in first:
        advice = (
            "Each looks like one dialogue: write it as an object of a line of its own, "
            '{"messages": [...]}'
        )
    else:
        advice = "Put them into one array; or write each row as an object on a line of its own"
    return DataError(
        f"{located(path, error.lineno)}: a second array begins here, and a JSON file is one array "
        f"of objects, or objects one after another. {advice}"
    )


def _explained(error: Exception, path: Path, first_line: int) -> DataError:
    if isinstance(error, json.JSONDecodeError):
        where = located(path, first_line + error.lineno - 1)
        line = error.doc.splitlines()[error.lineno - 1 : error.lineno]
        advice = "A JSON file is one array of objects, or has one whole object on each line"
        if line and line[0].lstrip(" \t,[{").startswith("'"):
            advice = (
                "It looks like Python's way to write it, with single quotes: write rows with "
                "json.dumps(row), not with str(row)"
            )
        return DataError(f"{where}: broken JSON at column {error.colno}: {error.msg}. {advice}")
    if isinstance(error, json_text.DuplicateKey):
        return DataError(f"{located(path, first_line)}: broken JSON: {error}")
    # A number of 5,000 digits, 1,000 brackets
    return DataError(f"{located(path, first_line)}: JSON that cannot be read: {error}")


def _checked_object(row: object, where: str, fields: Sequence[str]) -> dict[str, Any]:
    if isinstance(row, dict):
        return row
    if isinstance(row, list) and len(row) == len(fields):
        return dict(zip(fields, row, strict=True))
    if isinstance(row, list) and fields:
        raise DataError(
            f"{where}: a list of {len(row)} values, but fields names {len(fields)}: "
            f"{', '.join(fields)}"
        )
    if isinstance(row, list):
        raise DataError(
            f"{where}: the row is a list of {len(row)} values; name them: "
            "data_path=dict(type='files', path=..., fields=['prompt', ...])"
        )
    raise DataError(
        f'{where}: a row must be a JSON object like {{"instruction": …}}, '
        f"not {type(row).__name__} {str(row)[:40]!r}"
    )
