"""OLMo's tokenised data: input_ids.npy and label_mask.npy, all documents end to end.

    input_ids.npy    [a a a . .  b b . . .  ...]   uint16, `length` tokens a document, padded
    label_mask.npy   [. x x . .  . x . . .  ...]   bool, true where trained

OLMo's own preparation script writes bare arrays in spite of the name; arrays that numpy saved are
read as well. The rows are for `map_fn='tokenized'`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from xtune.errors import DataError
from xtune.registry import SOURCES

__all__ = ["OlmoSource"]

_NUMPY = b"\x93NUMPY"


@SOURCES.register_module("olmo")
class OlmoSource:
    """The documents of a folder with the two arrays, read through memory maps.

    Args:
        path: the folder.
        length: tokens of each document, padding counted; the script's `--seq-len`.
        dtype: the type of the ids in a bare array.

    Raises:
        DataError: a file is missing or no such array, or the sizes do not fit each other.
    """

    def __init__(self, path: str, *, length: int = 2048, dtype: str = "uint16") -> None:
        folder = Path(path).expanduser()
        self._files = [folder / "input_ids.npy", folder / "label_mask.npy"]
        self._length = length
        self._ids = _array(self._files[0], dtype)
        self._mask = _array(self._files[1], "bool")
        if len(self._ids) != len(self._mask):
            raise DataError(
                f"{path}: input_ids.npy has {len(self._ids):,} entries and label_mask.npy "
                f"{len(self._mask):,}; they must be as many. Are the ids of dtype={dtype!r}?"
            )
        if length < 1 or len(self._ids) % length:
            raise DataError(
                f"{path}: {len(self._ids):,} tokens are no whole number of documents of "
                f"length={length}; give the length that the data were prepared with"
            )

    def rows(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each document with its place: 'folder document 12'."""
        for start in range(0, len(self._ids), self._length):
            place = slice(start, start + self._length)
            row = {"input_ids": self._ids[place].tolist(), "label_mask": self._mask[place].tolist()}
            yield f"{self._files[0].parent} document {start // self._length + 1}", row

    def fingerprint(self) -> str:
        """Return a hash of both files, the length and the type."""
        whole = hashlib.sha256(f"{self._length} {self._ids.dtype}".encode())
        for file in self._files:
            with file.open("rb") as stream:
                whole.update(hashlib.file_digest(stream, "sha256").digest())
        return whole.hexdigest()


def _array(file: Path, dtype: str) -> np.ndarray:
    try:
        with file.open("rb") as stream:
            saved = stream.read(len(_NUMPY)) == _NUMPY
        if saved:
            array = np.load(file, mmap_mode="r", allow_pickle=False)
        else:
            array = np.memmap(file, dtype=dtype, mode="r")
    except (OSError, ValueError, TypeError) as error:
        raise DataError(f"{file}: not a readable array of {dtype}: {error}") from error
    if array.ndim != 1:
        raise DataError(f"{file}: an array of {array.ndim} dimensions; it must have one")
    return array
