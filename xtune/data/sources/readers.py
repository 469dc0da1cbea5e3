"""One reader per file type: each yields (where, row) and keeps bounded memory where it can.

    .json .jsonl .ndjson   an array, read whole; or one object a line, streamed
    .csv .tsv              the first line names the fields; every cell is text, an empty one ''
    .txt                   each line, paragraph or file is a row {"text": ...}
    .parquet .arrow        streamed in batches of rows; .arrow is what `datasets` saves

Text is UTF-8, or UTF-16 where a byte order mark says so, and may be compressed. A JSON file is told
by its first character, not by its suffix, since many a .json file holds JSON lines.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from xtune.data import json_text
from xtune.data.sources.columns import rows_of_batch
from xtune.data.sources.compression import opened, type_of
from xtune.data.sources.encodings import advice_for, binary_kind, wide_encoding
from xtune.errors import DataError

if TYPE_CHECKING:
    from pyarrow import RecordBatch

__all__ = [
    "OnBroken",
    "Row",
    "TextRows",
    "raise_it",
    "read_arrow",
    "read_csv",
    "read_json",
    "read_parquet",
    "read_text",
]

Row = tuple[str, dict[str, Any]]
OnBroken: TypeAlias = Callable[[DataError], None]
TextRows: TypeAlias = Literal["line", "paragraph", "file"]

_BOM = b"\xef\xbb\xbf"
_LARGEST_CELL = 2**31 - 1  # csv's own limit of 128 kB is less than a long document
_BATCH_ROWS = 1000
_LARGEST_OBJECT = 1 << 26  # bytes of a file that is looked at as one object
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
_LOOKED_AT = 1 << 18  # bytes of a file, to tell its encoding


def raise_it(error: DataError) -> None:
    """Stop at a broken row, which is what every reader does if not told otherwise."""
    raise error


def read_json(
    path: Path, fields: Sequence[str] = (), on_broken: OnBroken = raise_it
) -> Iterator[Row]:
    """Read an array of objects, or one object a line.

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
    if _first_character(path) == b"[" and not lists_on_lines:
        yield from _read_array(path, fields, on_broken)
        return
    first = True
    for number, line in _lines(path, on_broken):
        if not line.isspace():
            if first:
                _require_rows(path, line)
            first = False
            where = _located(path, number)
            try:
                row = _parse(line.rstrip(), path, first_line=number)
                checked = _checked_object(row, where, fields)
            except DataError as error:
                on_broken(error)
            else:
                yield where, checked


def read_csv(path: Path, on_broken: OnBroken = raise_it) -> Iterator[Row]:
    """Read a table whose first line names the fields; a tab separates in a .tsv file.

    Args:
        path: the file.
        on_broken: called with the error of a row that cannot be read but does not hide the next.

    Raises:
        DataError: two fields of one name, a row with more or fewer cells than the header, bad
            quoting, or text that is not UTF-8; with the line.
    """
    csv.field_size_limit(_LARGEST_CELL)
    separator = "\t" if type_of(path) == ".tsv" else ","
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
            header = _checked_header(cells, _located(path, begins), separator)
        elif len(cells) != len(header):
            uneven = DataError(
                f"{_located(path, begins)}: {len(cells)} cells, but the header names "
                f"{len(header)} fields ({', '.join(header)}). Text with a {separator!r} in it "
                f'must stand in "quotes"'
            )
            on_broken(uneven)
        else:
            yield _located(path, begins), dict(zip(header, cells, strict=True))


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
        DataError: text that is not UTF-8; with the line.
    """
    begins = 1
    lines: list[str] = []
    for number, line in _lines(path):
        blank = line.isspace()
        if sample_by == "line" and not blank:
            yield _located(path, number), {"text": line.rstrip("\r\n")}
        elif sample_by == "paragraph" and blank:
            if lines:
                yield _located(path, begins), {"text": "".join(lines).rstrip("\r\n")}
            lines = []
        elif sample_by != "line" and (lines or not blank):
            begins = begins if lines else number
            lines.append(line)
    if lines:
        yield _located(path, begins), {"text": "".join(lines).rstrip("\r\n")}


def _read_batches(batches: Iterable[RecordBatch], path: Path) -> Iterator[Row]:
    number = itertools.count(1)
    for batch in batches:
        for start in range(0, batch.num_rows, _BATCH_ROWS):
            for row in rows_of_batch(batch.slice(start, _BATCH_ROWS)):
                yield f"{path} row {next(number)}", row


def _first_character(path: Path) -> bytes:
    """The first byte that is neither white space nor part of a byte order mark."""
    if encoding := wide_encoding(_head(path)):
        return _head(path).decode(encoding, "ignore").lstrip()[:1].encode()
    with opened(path) as file:
        while chunk := file.read(4096):
            if stripped := chunk.removeprefix(_BOM).lstrip():
                return stripped[:1]
    return b""


def _head(path: Path) -> bytes:
    """The first bytes of a file of text.

    Raises:
        DataError: it is no text.
    """
    with opened(path) as file:
        head = file.read(4096)
    if kind := binary_kind(head):
        raise DataError(f"{path}: this is no text but {kind}")
    return head


def _lines(path: Path, on_broken: OnBroken = raise_it) -> Iterator[tuple[int, str]]:
    if encoding := wide_encoding(_head(path)):
        with opened(path) as file:
            try:
                yield from enumerate(
                    io.TextIOWrapper(cast(Any, file), encoding, newline="\n"), start=1
                )
            except UnicodeDecodeError as error:
                raise DataError(f"{path}: damaged {encoding}: {error}") from error
        return
    with opened(path) as file:
        for number, line in enumerate(file, start=1):
            raw = line.removeprefix(_BOM) if number == 1 else line
            try:
                text = raw.decode()
            except UnicodeDecodeError as error:
                on_broken(_not_utf8(path, number, error))
            else:
                yield number, text


def _require_rows(path: Path, first_line: str) -> None:
    """Refuse a file that is one object around lists of rows, on one line or on many."""
    if any(f'"{name}"' in first_line for name in _OF_ONE_ROW):
        return
    if first_line.rstrip().endswith("}") and "[" not in first_line:
        return
    with opened(path) as file:
        raw = file.read(_LARGEST_OBJECT)
    try:
        whole = json.loads(raw.removeprefix(_BOM).decode(wide_encoding(raw[:4]) or "utf-8"))
    except (ValueError, RecursionError):
        return
    # An object on one line is a row as it is, whatever lists it has, unless the name says otherwise
    is_a_line = first_line.rstrip().endswith("}")
    lists = [
        name
        for name, value in (whole.items() if isinstance(whole, dict) else ())
        if (name in _OF_MANY_ROWS if is_a_line else name not in _OF_ONE_ROW)
        and isinstance(value, list)
        and value
        and all(isinstance(row, dict) for row in value)
    ]
    if lists:
        raise DataError(
            f"{path}: the file is one object, and the rows lie under "
            f'{" and ".join(map(repr, lists))}. Take them out: python -c "import json; '
            f"json.dump(json.load(open('{path.name}', encoding='utf-8'))['{lists[0]}'], "
            "open('rows.json', 'w'))\""
        )


def _read_array(path: Path, fields: Sequence[str], on_broken: OnBroken) -> Iterator[Row]:
    with opened(path) as file:
        raw = file.read().removeprefix(_BOM)
    try:
        text = raw.decode(wide_encoding(raw[:4]) or "utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, raw.count(b"\n", 0, error.start) + 1, error) from error
    rows = _parse(text, path, first_line=1)
    for number, row in enumerate(rows, start=1):
        where = f"{path} row {number}"
        try:
            checked = _checked_object(row, where, fields)
        except DataError as error:
            on_broken(error)
        else:
            yield where, checked


def _parse(text: str, path: Path, *, first_line: int) -> Any:
    try:
        return json_text.loads(text)
    except json.JSONDecodeError as error:
        where = _located(path, first_line + error.lineno - 1)
        raise DataError(
            f"{where}: broken JSON at column {error.colno}: {error.msg}. A JSON file is one array "
            f"of objects, or has one whole object on each line"
        ) from error
    except json_text.DuplicateKey as error:
        raise DataError(f"{_located(path, first_line)}: broken JSON: {error}") from error
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, 1,000 brackets
        raise DataError(
            f"{_located(path, first_line)}: JSON that cannot be read: {error}"
        ) from error


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
                    "Rename the file to .tsv"
                    if other == "\t"
                    else 'Save it with commas as .csv, or: python -c "import csv, sys; '
                    f"csv.writer(sys.stdout).writerows(csv.reader(sys.stdin, delimiter='{other}'))"
                    '" < THIS.csv > commas.csv'
                )
            )
    return cells


def _not_utf8(path: Path, line: int, error: UnicodeDecodeError) -> DataError:
    with opened(path) as file:
        advice = advice_for(file.read(_LOOKED_AT), path.name)
    return DataError(
        f"{_located(path, line)}: not UTF-8: byte 0x{error.object[error.start]:02x}. {advice}"
    )


def _located(path: Path, line: int) -> str:
    return f"{path}:{line}"
