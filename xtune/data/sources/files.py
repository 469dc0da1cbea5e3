"""Rows from json, jsonl, csv, tsv and parquet files: one, a folder, a glob, or a list of these."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from xtune.data.sources.readers import READERS
from xtune.errors import DataError
from xtune.registry import SOURCES

__all__ = ["FilesSource", "find_files", "is_data_file"]


@SOURCES.register_module("files")
class FilesSource:
    """The rows of one or more files, in the order given; a folder's or glob's files sorted.

    A file that is named twice is read twice.

    Args:
        path: a file, a folder (its data files, not those of its subfolders), a glob ('**' goes
            into folders), or a list of these.

    Raises:
        DataError: nothing is there, or a file's type is unknown.
    """

    def __init__(self, path: str | Sequence[str]) -> None:
        given = [path] if isinstance(path, str) else list(path)
        if not given:
            raise DataError("an empty list of files; name at least one file, folder or glob")
        self.files = [file for one in given for file in _found(one)]

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each row with its place: 'a.jsonl:12' (line), or 'a.parquet row 12'."""
        for file in self.files:
            try:
                yield from READERS[file.suffix.lower()](file)
            except OSError as error:
                raise DataError(f"{file}: cannot be read: {error.strerror}") from error

    def fingerprint(self) -> str:
        """Return a hash over every file's type and bytes, in order, whatever they are called."""
        whole = hashlib.sha256()
        for file in self.files:
            with file.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").hexdigest()
            whole.update(f"{file.suffix.lower()} {content}\n".encode())
        return whole.hexdigest()


def is_data_file(path: str | Path) -> bool:
    """Return whether the name ends like a file that can be read."""
    return Path(path).suffix.lower() in READERS


def find_files(path: str) -> list[Path]:
    """Return the files that a path, folder or glob stands for; none if nothing is there."""
    place = Path(path).expanduser()
    if not path:  # Path('') would be the current folder
        return []
    if place.is_file():
        return [place]
    if place.is_dir():
        return sorted(file for file in place.iterdir() if _is_visible_data(file))
    return sorted(
        file for file in map(Path, glob.glob(str(place), recursive=True)) if _is_visible_data(file)
    )


def _is_visible_data(file: Path) -> bool:
    return file.is_file() and is_data_file(file) and not file.name.startswith(".")


def _found(path: str) -> list[Path]:
    files = find_files(path)
    if not files:
        raise DataError(
            f"no data at {path!r}: it names no file, and no folder or glob with "
            f"{', '.join(READERS)} files in it (looked from {Path.cwd()})"
        )
    unknown = [file for file in files if not is_data_file(file)]
    if unknown:
        raise DataError(
            f"{unknown[0]}: unknown type of file {unknown[0].suffix!r}; allowed: "
            f"{', '.join(READERS)}. Convert it, or write a source: "
            f"data_path=dict(type='path/to/file.py:MySource')"
        )
    return files
