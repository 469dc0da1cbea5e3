"""meta.json: what a checkpoint folder must contain to be whole."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import xtune
from xtune.errors import CheckpointError

__all__ = ["FORMAT_VERSION", "damage", "note_change", "read_meta", "weights_apart", "write_meta"]

FORMAT_VERSION = 2
_WITHOUT_FURTHER_PARTS = 1  # what a reader of version 1 reads right

_NAME = "meta.json"


def write_meta(
    folder: Path,
    *,
    step: int,
    parts: Mapping[str, str] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> None:
    """Record size and sha256 of every file in `folder`; the last file to be written there.

    Args:
        folder: of the checkpoint.
        step: optimizer steps done.
        parts: name of each part that is saved -> 'adapter', 'model', or 'weights', which are in a
            folder of the part's name: that is version 2 of the format.
        notes: further fields: what the run began with.
    """
    files = {
        path.relative_to(folder).as_posix(): {"size": path.stat().st_size, "sha256": _sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    parts = dict(parts or {})
    has_more = "weights" in parts.values()
    meta = {
        "format_version": FORMAT_VERSION if has_more else _WITHOUT_FURTHER_PARTS,
        "xtune_version": xtune.__version__,
        "step": step,
        "parts": parts,
        **(notes or {}),
        "written": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "files": files,
    }
    (folder / _NAME).write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")


def read_meta(folder: Path) -> dict[str, Any]:
    """Return the parsed meta.json.

    Raises:
        CheckpointError: it was written in a newer format than this version reads.
        OSError, ValueError, KeyError: it is missing or no such record; `damage` says so in words.
    """
    meta = json.loads((folder / _NAME).read_text(encoding="utf-8"))
    if meta["format_version"] > FORMAT_VERSION:
        raise CheckpointError(
            f"{folder} has checkpoint format {meta['format_version']}, written by xtune "
            f"{meta.get('xtune_version', '?')}; this version ({xtune.__version__}) reads up to "
            f"{FORMAT_VERSION}. Install that version to resume from it"
        )
    return meta


def weights_apart(folder: Path) -> list[str]:
    """Return the parts that a checkpoint has in folders of their own, sorted; none elsewhere.

    Args:
        folder: a step's, or any other.

    Raises:
        CheckpointError: it was written in a newer format than this version reads.
    """
    try:
        parts = dict(read_meta(folder).get("parts", {}))
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # no meta.json of ours
        return []
    return sorted(name for name, kind in parts.items() if kind == "weights")


def note_change(folder: Path, name: str) -> None:
    """Record a file of a checkpoint as it is now; nothing happens where there is no such record.

    Args:
        folder: of the checkpoint.
        name: of the file that was changed on purpose, within the folder.
    """
    record = folder / _NAME
    if not record.is_file():
        return
    meta = read_meta(folder)
    if name in meta["files"]:
        file = folder / name
        meta["files"][name] = {"size": file.stat().st_size, "sha256": _sha256(file)}
        record.write_text(json.dumps(meta, indent=1) + "\n", encoding="utf-8")


def damage(folder: Path) -> str | None:
    """Say what is wrong with a checkpoint, or return None when it is whole.

    Reads every byte once: about a second per gigabyte.
    """
    try:
        files = read_meta(folder)["files"]
        for name, expected in files.items():
            path = folder / name
            if not path.is_file():
                return f"{name} is missing"
            size = path.stat().st_size
            if size != expected["size"]:
                return f"{name} has {size:,} bytes instead of {expected['size']:,}"
            if _sha256(path) != expected["sha256"]:
                return f"{name} has other contents than were written"
    except FileNotFoundError:
        return f"{_NAME} is missing"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{_NAME} cannot be read"
    return None


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
