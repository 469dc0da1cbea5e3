"""Lines of a file, compressed or not: UTF-8, or UTF-16 where a byte order mark says so."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias, cast

from xtune.data.sources.compression import opened
from xtune.data.sources.encodings import advice_for, binary_kind, wide_encoding
from xtune.errors import DataError

__all__ = ["OnBroken", "Row", "first_character", "lines_of", "located", "raise_it", "whole_text"]

Row = tuple[str, dict[str, Any]]
OnBroken: TypeAlias = Callable[[DataError], None]

_BOM = b"\xef\xbb\xbf"
_LOOKED_AT = 1 << 18  # bytes of a file, to tell its encoding


def raise_it(error: DataError) -> None:
    """Stop at a broken row, which is what every reader does if not told otherwise."""
    raise error


def located(path: Path, line: int) -> str:
    """Return where a line stands, for messages: 'data.jsonl:12'.

    Args:
        path: of the file.
        line: counted from 1.
    """
    return f"{path}:{line}"


def first_character(path: Path) -> bytes:
    """Return the first byte that is neither white space nor part of a byte order mark.

    Raises:
        DataError: it is no text.
    """
    head = _head(path)
    if encoding := wide_encoding(head):
        return head.decode(encoding, "ignore").lstrip()[:1].encode()
    with opened(path) as file:
        while chunk := file.read(4096):
            if stripped := chunk.removeprefix(_BOM).lstrip():
                return stripped[:1]
    return b""


def lines_of(path: Path, on_broken: OnBroken = raise_it) -> Iterator[tuple[int, str]]:
    """Yield each line with its number, which begins at 1.

    Args:
        path: the file.
        on_broken: called with the error of a line that is not UTF-8, after which the next is read.

    Raises:
        DataError: it is no text, or damaged UTF-16.
    """
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


def whole_text(path: Path) -> str:
    """Return the whole text of a file.

    Raises:
        DataError: it is not UTF-8; with the line.
    """
    with opened(path) as file:
        raw = file.read().removeprefix(_BOM)
    try:
        return raw.decode(wide_encoding(raw[:4]) or "utf-8")
    except UnicodeDecodeError as error:
        raise _not_utf8(path, raw.count(b"\n", 0, error.start) + 1, error) from error


def _head(path: Path) -> bytes:
    with opened(path) as file:
        head = file.read(4096)
    if kind := binary_kind(head):
        raise DataError(f"{path}: this is no text but {kind}")
    return head


def _not_utf8(path: Path, line: int, error: UnicodeDecodeError) -> DataError:
    with opened(path) as file:
        advice = advice_for(file.read(_LOOKED_AT), path.name)
    return DataError(
        f"{located(path, line)}: not UTF-8: byte 0x{error.object[error.start]:02x}. {advice}"
    )
