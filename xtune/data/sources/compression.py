"""Files that may be compressed: data.jsonl.gz, .bz2, .xz, .zst."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zlib
from pathlib import Path
from typing import cast

__all__ = ["COMPRESSED_INSIDE", "COMPRESSIONS", "DECOMPRESSION_ERRORS", "opened", "type_of"]

COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
COMPRESSED_INSIDE = (".parquet", ".arrow")  # and so not read with one of these after it

# What the libraries raise for a damaged file, besides OSError
DECOMPRESSION_ERRORS = (EOFError, lzma.LZMAError, zlib.error)


def type_of(path: Path) -> str:
    """Return the suffix that names a file's format, whether it is compressed or not.

    >>> type_of(Path('rows.JSONL.gz')), type_of(Path('rows.v2.csv')), type_of(Path('rows.gz'))
    ('.jsonl', '.csv', '')
    """
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def opened(path: Path) -> io.BufferedIOBase:
    """Open a file for reading bytes, decompressing them on the way.

    Raises:
        OSError: there is no such file, or it is not compressed as its name says; what is found
            damaged later raises this or one of `DECOMPRESSION_ERRORS` from the stream.
    """
    match path.suffix.lower():
        case ".gz":
            return cast(io.BufferedIOBase, gzip.open(path))
        case ".bz2":
            return cast(io.BufferedIOBase, bz2.open(path))
        case ".xz":
            return cast(io.BufferedIOBase, lzma.open(path))
        case ".zst":
            import pyarrow as pa  # Python has no zstd of its own before 3.14

            return io.BufferedReader(pa.input_stream(path, compression="zstd"))
    return path.open("rb")
