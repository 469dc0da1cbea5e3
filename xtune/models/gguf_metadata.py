"""Read what a GGUF file says about itself, without reading its weights.

'GGUF'  version  number of tensors  number of entries
entry   key, type, value            strings and arrays begin with their length, as 8 bytes
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from xtune.errors import ModelError

__all__ = ["read_gguf_metadata"]

_NUMBERS = dict(enumerate(("<B", "<b", "<H", "<h", "<I", "<i", "<f", "<?")))
_NUMBERS |= {10: "<Q", 11: "<q", 12: "<d"}
_TEXT, _ARRAY = 8, 9


def read_gguf_metadata(file: Path) -> Mapping[str, Any]:
    """Return every key of a GGUF file with its value: a number, a text, or a list of them.

    Raises:
        ModelError: it is no GGUF file of version 2 or 3, or it ends too early.
    """
    with file.open("rb") as stream:
        magic = stream.read(4)
        if magic != b"GGUF":
            raise ModelError(
                f"xtune cannot read {file}: it begins with {magic!r}, a GGUF file with b'GGUF'"
            )
        try:
            version, _, entries = struct.unpack("<IQQ", _read(stream, 20))
            if version not in (2, 3):
                raise ModelError(f"{file} is GGUF version {version}; versions 2 and 3 are read")
            return dict(_entry(stream) for _ in range(entries))
        except (EOFError, KeyError, UnicodeDecodeError) as error:
            raise ModelError(
                f"xtune cannot read {file}: it is cut off or damaged ({error}). Download it again"
            ) from error


def _entry(stream: BinaryIO) -> tuple[str, Any]:
    key = _text(stream)
    (kind,) = struct.unpack("<I", _read(stream, 4))
    return key, _value(stream, kind)


def _value(stream: BinaryIO, kind: int) -> Any:
    if kind == _TEXT:
        return _text(stream)
    if kind == _ARRAY:
        inner, count = struct.unpack("<IQ", _read(stream, 12))
        if inner in (_TEXT, _ARRAY):
            return [_value(stream, inner) for _ in range(count)]
        form = _NUMBERS[inner][1]
        return list(struct.unpack(f"<{count}{form}", _read(stream, count * struct.calcsize(form))))
    form = _NUMBERS[kind]
    return struct.unpack(form, _read(stream, struct.calcsize(form)))[0]


def _text(stream: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", _read(stream, 8))
    return _read(stream, length).decode("utf-8")


def _read(stream: BinaryIO, size: int) -> bytes:
    # A damaged length may be far beyond the file: read() would first make room for it.
    if size > 1 << 30:
        raise EOFError(f"a length of {size} bytes at {stream.tell()}")
    content = stream.read(size)
    if len(content) != size:
        raise EOFError(f"nothing behind byte {stream.tell()}")
    return content
