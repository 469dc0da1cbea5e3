"""Read what a GGUF file says about itself, and where its tensors lie, without reading its weights.

'GGUF'  version  number of tensors  number of entries
entry   key, type, value                   strings and arrays begin with their length, as 8 bytes
tensor  name, shape, type, place           a table; the numbers come behind it, from `place` on
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from xtune.errors import ModelError

__all__ = ["StoredTensor", "read_gguf_metadata", "read_gguf_tensors"]

_NUMBERS = dict(enumerate(("<B", "<b", "<H", "<h", "<I", "<i", "<f", "<?")))
_NUMBERS |= {10: "<Q", 11: "<q", 12: "<d"}
_TEXT, _ARRAY = 8, 9
_ALIGNMENT = 32  # of the numbers in the file, in bytes, where `general.alignment` says nothing


class StoredTensor(NamedTuple):
    """A line of the table of tensors.

    Attributes:
        name: in GGUF's words: 'blk.0.attn_q.weight'.
        shape: in torch's order, the fastest dimension last.
        kind: the number of its GGML type, which says how its numbers are packed.
        start: the byte of the file at which they begin.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    start: int


def read_gguf_metadata(file: Path) -> Mapping[str, Any]:
    """Return every key of a GGUF file with its value: a number, a text, or a list of them.

    Raises:
        ModelError: it is no GGUF file of version 2 or 3, or it ends too early.
    """
    return _read_head(file)[0]


def read_gguf_tensors(file: Path) -> list[StoredTensor]:
    """Return the table of a GGUF file's tensors, in its order.

    Raises:
        ModelError: it is no GGUF file of version 2 or 3, or it ends too early.
    """
    return _read_head(file)[1]


def _read_head(file: Path) -> tuple[Mapping[str, Any], list[StoredTensor]]:
    with file.open("rb") as stream:
        magic = stream.read(4)
        if magic != b"GGUF":
            raise ModelError(
                f"xtune cannot read {file}: it begins with {magic!r}, a GGUF file with b'GGUF'"
            )
        try:
            version, tensors, entries = struct.unpack("<IQQ", _read(stream, 20))
            if version not in (2, 3):
                raise ModelError(f"{file} is GGUF version {version}; versions 2 and 3 are read")
            metadata = dict(_entry(stream) for _ in range(entries))
            table = [_tensor(stream) for _ in range(tensors)]
        except (EOFError, KeyError, UnicodeDecodeError) as error:
            raise ModelError(
                f"xtune cannot read {file}: it is cut off or damaged ({error}). Download it again"
            ) from error
        alignment = int(metadata.get("general.alignment", _ALIGNMENT))
        numbers = -(-stream.tell() // alignment) * alignment
        return metadata, [line._replace(start=numbers + line.start) for line in table]


def _entry(stream: BinaryIO) -> tuple[str, Any]:
    key = _text(stream)
    (kind,) = struct.unpack("<I", _read(stream, 4))
    return key, _value(stream, kind)


def _tensor(stream: BinaryIO) -> StoredTensor:
    name = _text(stream)
    (dimensions,) = struct.unpack("<I", _read(stream, 4))
    shape = struct.unpack(f"<{dimensions}Q", _read(stream, 8 * dimensions))
    kind, start = struct.unpack("<IQ", _read(stream, 12))
    return StoredTensor(name, tuple(reversed(shape)), kind, start)


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
