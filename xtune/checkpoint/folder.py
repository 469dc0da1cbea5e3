"""Checkpoint folders that are either whole or not there, whenever the process dies.

A checkpoint is written under a temporary name, forced onto the disk, and renamed; only then is
`latest` moved and an older one deleted.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from xtune.checkpoint.disk import (
    check_room,
    full_disk_error,
    is_full_disk,
    let_others_read,
    sync_tree,
)
from xtune.checkpoint.meta import damage, write_meta
from xtune.errors import CheckpointError

__all__ = [
    "LEFTOVER",
    "find_resumable",
    "list_checkpoints",
    "remove_leftovers",
    "save_checkpoint",
    "step_of",
]

LATEST = "latest"

_log = logging.getLogger(__name__)
_STEP = re.compile(r"step_(\d{6,})")
LEFTOVER = ".tmp-"


def save_checkpoint(
    root: Path,
    step: int,
    *,
    write: Callable[[Path], None],
    bytes_needed: int,
    parts: Mapping[str, str] | None = None,
    max_keep: int | None = None,
    notes: Mapping[str, Any] | None = None,
) -> Path:
    """Write one checkpoint and make it the latest.

    Args:
        root: the `checkpoints` folder; created.
        step: optimizer steps done.
        write: fills the folder it is given.
        bytes_needed: about what it will write, to refuse before a full disk is hit.
        parts: of meta.json; see `write_meta`.
        max_keep: delete the oldest beyond so many (1 or more), once this one is whole. None:
            keep all.
        notes: further fields of meta.json.

    Returns:
        The folder, `root/step_000500`.

    Raises:
        CheckpointError: the disk is full; nothing of this checkpoint is left, all others are.
    """
    root.mkdir(parents=True, exist_ok=True)
    check_room(root, bytes_needed)
    final = root / f"step_{step:06d}"
    temporary = root / f"{LEFTOVER}{final.name}"
    _remove(temporary)
    try:
        temporary.mkdir()
        write(temporary)
        write_meta(temporary, step=step, parts=parts, notes=notes)
        let_others_read(temporary)
        sync_tree(temporary)
    except BaseException as error:
        _remove(temporary)
        if is_full_disk(error):
            raise full_disk_error(root, bytes_needed) from error
        raise
    _remove(final)  # the same step of a run that this one repeats
    temporary.rename(final)
    _point_latest_at(final)
    if max_keep is not None:
        for _, old in list_checkpoints(root)[:-max_keep]:
            _remove(old)
    return final


def list_checkpoints(root: Path) -> list[tuple[int, Path]]:
    """Return (step, folder) of every checkpoint below `root`, oldest first, whole or not."""
    if not root.is_dir():
        return []
    found = [(step_of(path), path) for path in root.iterdir()]
    return sorted((step, path) for step, path in found if step is not None)


def step_of(folder: Path) -> int | None:
    """Return 500 for `…/step_000500`, None for a folder of another name."""
    match = _STEP.fullmatch(folder.name)
    return int(match[1]) if match and folder.is_dir() else None


def find_resumable(root: Path) -> Path | None:
    """Return the newest whole checkpoint below `root`, or None where there has never been one.

    Damaged ones are left in place and named in a warning.

    Raises:
        CheckpointError: there are checkpoints, and all are damaged.
    """
    reasons: list[str] = []
    for _, folder in reversed(list_checkpoints(root)):
        reason = damage(folder)
        if reason is None:
            if reasons:
                _log.warning("using the checkpoint before it: %s", folder)
            return folder
        _log.warning("skipping a damaged checkpoint: %s (%s)", folder, reason)
        reasons.append(f"  {folder.name}: {reason}")
    if not reasons:
        return None
    raise CheckpointError(
        "\n".join(
            [f"no whole checkpoint in {root}:"]
            + reasons
            + ["Start again without --resume, or restore one of these folders from a backup"]
        )
    )


def remove_leftovers(root: Path) -> None:
    """Delete what a process that was killed while saving or deleting has left behind."""
    for path in root.glob(f"{LEFTOVER}*"):
        if path.is_symlink() or path.is_file():
            path.unlink()
        else:
            _remove(path)


def _remove(folder: Path) -> None:
    """Delete a folder under another name, so that a kill half-way leaves no half checkpoint."""
    if not folder.exists():
        return
    if not folder.name.startswith(LEFTOVER):
        renamed = folder.with_name(f"{LEFTOVER}deleted-{folder.name}")
        shutil.rmtree(renamed, ignore_errors=True)
        folder = folder.rename(renamed)
    shutil.rmtree(folder, ignore_errors=True)


def _point_latest_at(folder: Path) -> None:
    """Make `latest` a link to `folder`, or a file with its name where links are not allowed."""
    latest = folder.with_name(LATEST)
    temporary = folder.with_name(f"{LEFTOVER}{LATEST}")
    temporary.unlink(missing_ok=True)
    try:
        temporary.symlink_to(folder.name, target_is_directory=True)
    except OSError:  # exFAT, SMB shares, Windows without the privilege
        temporary.write_text(folder.name + "\n", encoding="utf-8")
    temporary.replace(latest)
    descriptor = os.open(folder.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # the renames themselves
    finally:
        os.close(descriptor)
