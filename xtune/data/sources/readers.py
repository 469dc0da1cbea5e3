"""Readers of tables and plain text: each yields (where, row) and keeps bounded memory.

    .csv .tsv         the first line names the fields; every cell is text, an empty one ''
    .txt              each line, paragraph or file is a row {"text": ...}
    .parquet .arrow   in batches of rows; .arrow is what `datasets` saves

JSON has a file of its own, json_reader.py.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from xtune.data import json_text
from xtune.data.sources.columns import rows_of_batch
from xtune.data.sources.compression import type_of
from xtune.data.sources.lines import OnBroken, Row, lines_of, located, raise_it
from xtune.errors import DataError

if TYPE_CHECKING:
    from pyarrow import RecordBatch

__all__ = ["TextRows", "read_arrow", "read_csv", "read_parquet", "read_text"]

TextRows: TypeAlias = Literal["line", "paragraph", "file"]

_LARGEST_CELL = 2**31 - 1  # csv's own limit of 128 kB is less than a long document
_BATCH_ROWS = 1000


def read_csv(
    path: Path, on_broken: OnBroken = raise_it, fields: Sequence[str] = ()
) -> Iterator[Row]:
    """Read a table whose first line names the fields; a tab separates in a .tsv file.

    Args:
        path: the file.
        on_broken: called with the error of a row that cannot be read but does not hide the next.
        fields: the names of the fields, where the first line is a row as all others are.

    Raises:
        DataError: two fields of one name, a row with more or fewer cells than the header, bad
            quoting, or text that is not UTF-8; with the line.
    """
    csv.field_size_limit(_LARGEST_CELL)
    separator = "\t" if type_of(path) == ".tsv" else ","
    reader = csv.reader((line for _, line in lines_of(path)), delimiter=separator, strict=True)
    header: Sequence[str] | None = fields or None
    named_by = f"{path.name} has" if fields else "the header names"
    while True:
        begins = reader.line_num + 1  # a quoted cell may reach over several lines
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(f"{located(path, begins)}: broken csv: {error}") from error
        if not cells:
            continue
        if header is None:
            header = _checked_header(cells, located(path, begins), separator)
        elif len(cells) != len(header):
            uneven = DataError(
                f"{located(path, begins)}: {len(cells)} cells, but {named_by} "
                f"{len(header)} fields ({', '.join(header)}). Text with a {separator!r} in it "
                f'must stand in "quotes"'
            )
            on_broken(uneven)
        else:
            yield located(path, begins), dict(zip(header, cells, strict=True))


def read_parquet(path: Path) -> Iterator[Row]:
    """Read a parquet file's rows, a batch at a time.

    Raises:
        DataError: it is no parquet file, or holds text that is not UTF-8.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            yield from _read_batches(file.iter_batches(batch_size=_BATCH_ROWS), path)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable parquet file: {error}") from error


def read_arrow(path: Path) -> Iterator[Row]:
    """Read the rows of an Arrow file, of the streaming form or the one with an index.

    Raises:
        DataError: it is no Arrow file, or holds text that is not UTF-8.
    """
    import pyarrow as pa

    try:
        with pa.memory_map(str(path)) as file:
            indexed = file.read(6) == b"ARROW1"
            file.seek(0)
            if indexed:
                whole = pa.ipc.open_file(file)
                parts = (whole.get_batch(part) for part in range(whole.num_record_batches))
                yield from _read_batches(parts, path)
            else:
                yield from _read_batches(pa.ipc.open_stream(file), path)
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a readable Arrow file: {error}") from error


def read_text(path: Path, sample_by: TextRows = "line") -> Iterator[Row]:
    """Read plain text as rows with one field, `text`; blank ones are no rows.

    Args:
        path: the file.
        sample_by: what a row is: a line, a paragraph (blank lines part them), or the whole file.

    Raises:
        DataError: text that is not UTF-8, with the line; or lines that are JSON or a table.
    """
    if sample_by == "line":
        _require_text(path)
    begins = 1
    lines: list[str] = []
    for number, line in lines_of(path):
        blank = line.isspace()
        if sample_by == "line" and not blank:
            yield located(path, number), {"text": line.rstrip("\r\n")}
        elif sample_by == "paragraph" and blank:
            if lines:
                yield located(path, begins), {"text": "".join(lines).rstrip("\r\n")}
            lines = []
        elif sample_by != "line" and (lines or not blank):
            begins = begins if lines else number
            lines.append(line)
    if lines:
        yield located(path, begins), {"text": "".join(lines).rstrip("\r\n")}


def _require_text(path: Path) -> None:
    """Refuse JSON or a table that is called .txt: its lines would be trained as they stand."""
    said = (line for _, line in lines_of(path) if not line.isspace())
    first = [line.strip() for line in itertools.islice(said, 3)]
    kind = ""
    if first and first[0].startswith("{") and _is_object(first[0]):
        kind = "the lines are JSON objects: rename the file to .jsonl"
    elif first and (
        first[0].startswith("[{") or (first[0] == "[" and "".join(first[1:2]).startswith("{"))
    ):
        kind = "it begins like a JSON array of objects: rename the file to .json"
    for separator, suffix in (("\t", ".tsv"), (",", ".csv")):
        cells = [len(line.split(separator)) for line in first]
        names = first[0].split(separator) if first else []
        named = len(names) > 1 and all(name.strip('"').isidentifier() for name in names)
        if not kind and named and len(first) > 1 and len(set(cells)) == 1:
            kind = (
                f"it looks like a table with the fields {', '.join(names)}: rename the file to "
                f"{suffix}"
            )
    if kind:
        raise DataError(
            f"{path}: {kind}. If it is meant as plain text, give it as such: "
            '{"text": …} on each line of a .jsonl file'
        )


def _is_object(line: str) -> bool:
    try:
        return isinstance(json_text.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _read_batches(batches: Iterable[RecordBatch], path: Path) -> Iterator[Row]:
    number = itertools.count(1)
    for batch in batches:
        for start in range(0, batch.num_rows, _BATCH_ROWS):
            for row in rows_of_batch(batch.slice(start, _BATCH_ROWS)):
                yield f"{path} row {next(number)}", row


def _checked_header(cells: list[str], where: str, separator: str) -> list[str]:
    twice = sorted({name for name in cells if cells.count(name) > 1})
    if twice:
        raise DataError(f"{where}: the header names {', '.join(map(repr, twice))} twice")
    for other in ";\t|,":
        # The header of another separator is one cell, or a few that hold it
        parted = next(csv.reader([separator.join(cells)], delimiter=other))
        if other != separator and len(parted) > len(cells):
            raise DataError(
                f"{where}: the fields are parted by {other!r}, not by {separator!r}. "
                + (
                    f"Rename the file to {'.tsv' if other == chr(9) else '.csv'}"
                    if other in "\t,"
                    else 'Save it with commas as .csv, or: python -c "import csv, sys; '
                    f"csv.writer(sys.stdout).writerows(csv.reader(sys.stdin, delimiter='{other}'))"
                    '" < THIS.csv > commas.csv'
                )
            )
    return cells
