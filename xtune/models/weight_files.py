"""Files of weights that cannot be read: which one it is, and what to do; without loading any."""

from __future__ import annotations

import json
from pathlib import Path

from xtune.models.vocabulary_files import lfs_pointer

__all__ = ["spoilt_weights"]

_LENGTH = 8  # bytes that say how long the header of a safetensors file is
_AGAIN = "copy or download it again"


def spoilt_weights(folder: Path) -> str | None:
    """Return which file of a folder's weights is no whole one and what to do, or None."""
    for file in sorted([*folder.glob("*.safetensors"), *folder.glob("*.bin")]):
        if pointer := lfs_pointer(file):
            return pointer
        if file.suffix == ".safetensors" and (why := _why_not_whole(file)):
            return f"{file} {why}: {_AGAIN}"
    return None


def _why_not_whole(file: Path) -> str | None:
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(_LENGTH), "little")
        if length > size - _LENGTH:
            return f"holds no safetensors ({size:,} bytes), as where a download was cut off"
        try:
            tensors = json.loads(stream.read(length))
            ends = [one["data_offsets"][1] for name, one in tensors.items() if name[:2] != "__"]
        except (ValueError, AttributeError, LookupError, TypeError) as error:
            return f"has a header that cannot be read ({error})"
    whole = _LENGTH + length + max(ends, default=0)
    if size < whole:
        return f"has {size:,} of {whole:,} bytes, as where a download was cut off"
    return None
