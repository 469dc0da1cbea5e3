"""One reader per file type: each yields (where, row) and keeps bounded memory where it can.

    .json .jsonl .ndjson   an array, read whole; or one object a line, streamed
    .csv .tsv              the first line names the fields; every cell is text, an empty one ''
    .parquet               streamed in batches of rows

Text is UTF-8, with or without a byte order mark. A JSON file is told by its first character,
not by its suffix, since many a .json file holds JSON lines.
"""

from __future__ import annotations

import csv
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from xtune.errors import DataError

__all__ = ["READERS", "Row", "read_csv", "read_json", "read_parquet"]

Row = tuple[str, dict[str, Any]]

_BOM = b"\xef\xbb\xbf"
_LARGEST_CELL = 2**31 - 1  # csv's own limit of 128 kB is less than a long document
_PARQUET_ROWS = 1000


def read_json(path: Path) -> Iterator[Row]:
    """Read an array of objects, or one object a line.

    Raises:
        DataError: broken JSON, text that is not UTF-8, or something else than objects; with the
            line ('file.jsonl:12'), or for an array's element its number ('file.json row 12').
    """
    if _first_character(path) == b"[":
        yield from _read_array(path)
        return
    for number, line in _lines(path):
        if not line.isspace():
            where = _located(path, number)
            yield where, _checked_object(_parse(line.rstrip(), path, first_line=number), where)


def read_csv(path: Path) -> Iterator[Row]:
    """Read a table whose first line names the fields; a tab separates in a .tsv file.

    Raises:
        DataError: two fields of one name, a row with more or fewer cells than the header, bad
            quoting, or text that is not UTF-8; with the line.
    """
    csv.field_size_limit(_LARGEST_CELL)
    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    reader = csv.reader((line for _, line in _lines(path)), delimiter=separator, strict=True)
    header: list[str] | None = None
    while True:
        begins = reader.line_num + 1  # a quoted cell may reach over several lines
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{_located(path, begins)}: broken csv: {error}") from error
        if not cells:
            continue
        if header is None:
            header = _checked_header(cells, _located(path, begins))
        elif len(cells) != len(header):
            raise DataError(
                f"{_located(path, begins)}: {len(cells)} cells, but the header names "
                f"{len(header)} fields ({', '.join(header)}). Text with a {separator!r} in it "
                f'must stand in "quotes"'
            )
        else:
            yield _located(path, begins), dict(zip(header, cells, strict=True))


def read_parquet(path: Path) -> Iterator[Row]:
    """Read a parquet file's rows, a batch at a time.

    Raises:
        DataError: it is no parquet file, or holds text that is not UTF-8.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    number = itertools.count(1)
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=_PARQUET_ROWS):
                for row in batch.to_pylist():
                    yield f"{path} row {next(number)}", row
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable parquet file: {error}") from error


READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".json": read_json,
    ".jsonl": read_json,
    ".ndjson": read_json,
    ".csv": read_csv,
    ".tsv": read_csv,
    ".parquet": read_parquet,
}


def _first_character(path: Path) -> bytes:
    """The first byte that is neither white space nor part of a byte order mark."""
    with path.open("rb") as file:
        while chunk := file.read(4096):
            if stripped := chunk.removeprefix(_BOM).lstrip():
                return stripped[:1]
    return b""


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            raw = line.removeprefix(_BOM) if number == 1 else line
            try:
                yield number, raw.decode()
            except UnicodeDecodeError as error:
                _refuse_encoding(path, number, error)


def _read_array(path: Path) -> Iterator[Row]:
    raw = path.read_bytes().removeprefix(_BOM)
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        _refuse_encoding(path, raw.count(b"\n", 0, error.start) + 1, error)
    rows = _parse(text, path, first_line=1)
    for number, row in enumerate(rows, start=1):
        where = f"{path} row {number}"
        yield where, _checked_object(row, where)


def _parse(text: str, path: Path, *, first_line: int) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = _located(path, first_line + error.lineno - 1)
        raise DataError(
            f"{where}: broken JSON at column {error.colno}: {error.msg}. A JSON file is one array "
            f"of objects, or has one whole object on each line"
        ) from error
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, 1,000 brackets
        raise DataError(
            f"{_located(path, first_line)}: JSON that cannot be read: {error}"
        ) from error


def _checked_object(row: object, where: str) -> dict[str, Any]:
    if isinstance(row, dict):
        return row
    raise DataError(
        f'{where}: a row must be a JSON object like {{"instruction": …}}, '
        f"not {type(row).__name__} {str(row)[:40]!r}"
    )


def _checked_header(cells: list[str], where: str) -> list[str]:
    twice = sorted({name for name in cells if cells.count(name) > 1})
    if twice:
        raise DataError(f"{where}: the header names {', '.join(map(repr, twice))} twice")
    return cells


def _refuse_encoding(path: Path, line: int, error: UnicodeDecodeError) -> NoReturn:
    raise DataError(
        f"{_located(path, line)}: not UTF-8: byte 0x{error.object[error.start]:02x}. "
        f"Convert the file, for example: iconv -f latin1 -t utf-8 {path.name} > utf8_{path.name}"
    ) from error


def _located(path: Path, line: int) -> str:
    return f"{path}:{line}"
