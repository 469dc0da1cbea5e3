"""A full disk: how to recognise it, what to tell the user; folders that are whole or not there."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xtune.errors import CheckpointError

__all__ = [
    "check_room",
    "full_disk_error",
    "is_full_disk",
    "let_others_read",
    "sync_tree",
    "whole_folder",
]

# No space; over quota; over the file size that this process may write (ulimit -f).
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def is_full_disk(error: BaseException) -> bool:
    """Whether `error`, or what caused it, means that no more bytes fit."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in _FULL:
            return True
        # safetensors writes from Rust and raises its own type, with the number only in the text.
        found = re.search(r"os error (\d+)", str(error))
        if found and int(found[1]) in _FULL:
            return True
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    return False


def check_room(folder: Path, needed: int) -> None:
    """Refuse to begin writing `needed` bytes below `folder` where they cannot fit.

    Args:
        folder: where they are to be written.
        needed: bytes.

    Raises:
        CheckpointError: less than `needed` bytes are free.
    """
    if shutil.disk_usage(folder).free < needed:
        raise full_disk_error(folder, needed)


def full_disk_error(folder: Path, needed: int) -> CheckpointError:
    """The error for a checkpoint of about `needed` bytes that does not fit below `folder`.

    Args:
        folder: where it was to be written.
        needed: bytes.
    """
    free = shutil.disk_usage(folder).free
    return CheckpointError(
        f"the disk is full: a checkpoint below {folder} needs about {needed:,} bytes "
        f"({needed / 2**20:.1f} MiB), {free:,} are free (a quota or a limit on file size may allow "
        "less). The checkpoints before it are whole and kept. Free some space or lower "
        "save_total_limit, then go on with --resume"
    )


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """Give a folder to fill; it gets the name `out` when that is done, and is deleted otherwise.

    Raises:
        CheckpointError: the disk is full.
    """
    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        yield part
        let_others_read(part)
        part.rename(out)
    except BaseException as error:
        shutil.rmtree(part, ignore_errors=True)
        if is_full_disk(error):
            raise CheckpointError(
                f"the disk is full: {out} cannot be written, and nothing of it is left. Free some "
                "space, or give a folder on another disk"
            ) from error
        raise


def let_others_read(root: Path) -> None:
    """Let those read the files below `root` who may read the folder itself.

    safetensors writes files that only their owner may read, whatever the umask says: a server that
    runs as another user, or in a container, could not load them.
    """
    mode = root.stat().st_mode & 0o666
    for path in root.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(mode)


def sync_tree(root: Path) -> None:
    """Force every file and folder below `root`, and `root`, onto the disk.

    A rename may reach the disk before the data it names; after a power cut the renamed folder
    would then hold empty files.
    """
    for path in [*root.rglob("*"), root]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
