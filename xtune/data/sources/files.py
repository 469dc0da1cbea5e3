"""Rows from files of text, tables and Arrow, compressed or not: one, a folder, a glob, a list."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from xtune.data.sources.compression import (
    COMPRESSED_INSIDE,
    COMPRESSIONS,
    DECOMPRESSION_ERRORS,
    opened,
    type_of,
)
from xtune.data.sources.json_reader import read_json
from xtune.data.sources.lines import OnBroken, first_character, raise_it
from xtune.data.sources.other_types import advice_of
from xtune.data.sources.readers import TextRows, read_arrow, read_csv, read_parquet, read_text
from xtune.errors import DataError
from xtune.registry import SOURCES

__all__ = ["FilesSource", "find_files", "is_data_file", "others_in"]

_TYPES = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".txt", ".parquet", ".arrow")
# What `datasets` writes next to its .arrow files
_NO_DATA = ("dataset_info.json", "state.json", "dataset_dict.json")


@SOURCES.register_module("files")
class FilesSource:
    """The rows of one or more files, in the order given; a folder's or glob's files sorted.

    A file that is named twice is read twice.

    Args:
        path: a file, a folder (its data files, not those of its subfolders), a glob ('**' goes
            into folders), or a list of these. The .txt files of a folder or glob are read if it
            has no others, since next to data they are notes.
        fields: where a JSON file's rows are lists and not objects, the names of their values.
        sample_by: what a row of a .txt file is: 'line', 'paragraph' or 'file'.

    Raises:
        DataError: nothing is there, a file's type is unknown, or `sample_by` is.
    """

    def __init__(
        self,
        path: str | Sequence[str],
        *,
        fields: Sequence[str] = (),
        sample_by: TextRows = "line",
    ) -> None:
        if sample_by not in get_args(TextRows):
            allowed = ", ".join(map(repr, get_args(TextRows)))
            raise DataError(f"sample_by={sample_by!r} is unknown; allowed: {allowed}")
        self._fields = tuple(fields)
        self._sample_by = sample_by
        given = [path] if isinstance(path, str) else list(path)
        if not given:
            raise DataError("an empty list of files; name at least one file, folder or glob")
        self.files = [file for one in given for file in _found(one)]

    def rows(self, on_broken: OnBroken = raise_it) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each row with its place: 'a.jsonl:12' (line), or 'a.parquet row 12'.

        Args:
            on_broken: called with the error of a line that cannot be read, after which the next
                is; what is wrong with a file as a whole is raised.
        """
        for file in self.files:
            try:
                yield from self._read(file, on_broken)
            except (OSError, *DECOMPRESSION_ERRORS) as error:
                raise DataError(f"{file}: cannot be read: {_reason(error)}") from error

    def fingerprint(self) -> str:
        """Return a hash over every file's type and bytes, in order, whatever they are called."""
        whole = hashlib.sha256()
        for file in self.files:
            try:
                content = _digest(file)
            except (OSError, *DECOMPRESSION_ERRORS) as error:
                raise DataError(f"{file}: cannot be read: {_reason(error)}") from error
            whole.update(f"{type_of(file)} {content}\n".encode())
        whole.update(repr((self._fields, self._sample_by)).encode())
        return whole.hexdigest()

    def why_empty(self) -> str:
        """Return what is in each file, for a message where all together have no rows."""
        return "; ".join(f"{file} {_contents(file)}" for file in dict.fromkeys(self.files))

    def _read(self, file: Path, on_broken: OnBroken) -> Iterator[tuple[str, dict[str, Any]]]:
        kind = type_of(file)
        if kind in (".json", ".jsonl", ".ndjson"):
            return read_json(file, self._fields, on_broken)
        if kind in (".csv", ".tsv"):
            return read_csv(file, on_broken)
        if kind == ".txt":
            return read_text(file, self._sample_by)
        return read_parquet(file) if kind == ".parquet" else read_arrow(file)


def _contents(file: Path) -> str:
    """What a file without rows has instead."""
    try:
        size = file.stat().st_size
        if not size:
            return "is empty (0 bytes)"
        if type_of(file) in (".csv", ".tsv"):
            with opened(file) as stream:
                header = stream.read(1000).decode("utf-8-sig", "replace").strip().split("\n")[0]
            return f"has a header ({header[:80].strip()}) and no rows" if header else "is blank"
        if type_of(file) in (".json", ".jsonl", ".ndjson") and first_character(file) == b"[":
            return "is an array without elements"
    except (OSError, DataError, *DECOMPRESSION_ERRORS):
        pass  # it has gone since
    else:
        return f"has no rows in its {size:,} bytes"
    return "cannot be read"


def is_data_file(path: str | Path) -> bool:
    """Return whether the name ends like a file that can be read."""
    kind = type_of(Path(path))
    compressed = Path(path).suffix.lower() in COMPRESSIONS
    return kind in _TYPES and not (compressed and kind in COMPRESSED_INSIDE)


def find_files(path: str) -> list[Path]:
    """Return the files that a path, folder or glob stands for; none if nothing is there."""
    place = Path(path).expanduser()
    if not path:  # Path('') would be the current folder
        return []
    if place.is_file():
        return [place]
    if place.is_dir():
        found = list(place.iterdir())
    else:
        found = [Path(name) for name in glob.glob(str(place), recursive=True)]
    data = sorted(file for file in found if _is_visible_data(file))
    return [file for file in data if type_of(file) != ".txt"] or data


def others_in(path: str) -> str:
    """Return what a folder or glob has instead of data, as the end of a message; '' for nothing."""
    place = Path(path).expanduser()
    found = place.iterdir() if place.is_dir() else map(Path, glob.glob(str(place), recursive=True))
    files = sorted(file for file in found if file.is_file() and not file.name.startswith("."))
    other = next((file for file in files if advice_of(file)), None)
    return "" if other is None else f". There is {other.name}, {advice_of(other)}"


def _is_visible_data(file: Path) -> bool:
    if file.name.startswith(".") or file.name in _NO_DATA:
        return False
    return is_data_file(file) and file.is_file()


def _digest(file: Path) -> str:
    with opened(file) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _found(path: str) -> list[Path]:
    files = find_files(path)
    if not files:
        raise DataError(
            f"no data at {path!r}: it names no file, and no folder or glob with "
            f"{', '.join(_TYPES)} files in it (looked from {Path.cwd()}){others_in(path)}"
        )
    unknown = next((file for file in files if not is_data_file(file)), None)
    if unknown is not None and (advice := advice_of(unknown)):
        raise DataError(f"{unknown} is {advice}")
    if unknown is not None:
        raise DataError(
            f"{unknown}: unknown type of file {''.join(unknown.suffixes)!r}; allowed: "
            f"{', '.join(_TYPES)}; text also with {', '.join(COMPRESSIONS)} after it. "
            "Convert it, or write a source: data_path=dict(type='path/to/file.py:MySource')"
        )
    return files
