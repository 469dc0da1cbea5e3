"""Who writes a token cache: one process does, the others wait for its lock and say for whom.

    <key>.lock       held by the writer; the kernel drops it when the writer dies
    <key>.writer     its rank, host and process, since when, and how far it is; for people

Nothing here gives up: a corpus may take a day.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from xtune.parallel.progress import beat, waiting
from xtune.parallel.world import world_of_environment

__all__ = ["WriterNote", "only_writer"]

_LOG = logging.getLogger(__name__)
_REMINDER = 15.0  # seconds between two lines of one that waits


class WriterNote:
    """Tells those that wait how far the writer is.

    Args:
        path: of the note.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._who = (
            f"rank {world_of_environment().rank} on {socket.gethostname()} (process {os.getpid()})"
        )
        self._since = self._written = time.time()
        self._logged = time.monotonic()

    def tell(self, samples: int) -> None:
        """Write the note anew, if the last one is old enough."""
        beat(f"{samples:,} samples tokenised")
        if time.monotonic() > self._logged + _REMINDER:
            self._logged = time.monotonic()
            spent = time.time() - self._since
            _LOG.info("tokenising: %s samples in %.0f s", f"{samples:,}", spent)
            self.write(samples)

    def write(self, samples: int = 0) -> None:
        """Write it; a full disk is found by the cache itself."""
        note = {"who": self._who, "since": self._since, "samples": samples}
        with suppress(OSError):
            temporary = self._path.with_suffix(".writer_tmp")
            temporary.write_text(json.dumps(note), encoding="utf-8")
            temporary.replace(self._path)


@contextmanager
def only_writer(folder: Path, *, reminder: float = _REMINDER) -> Iterator[WriterNote]:
    """Inside, no other process is; wait for it, with a line every so often.

    Args:
        folder: of the cache; the lock and the note stand next to it.
        reminder: seconds between two lines.
    """
    lock, path = FileLock(folder.with_suffix(".lock")), folder.with_suffix(".writer")
    started = time.monotonic()
    with waiting("who prepares the data"):
        while True:
            try:
                lock.acquire(timeout=reminder)
                break
            except Timeout:
                beat()
                _LOG.info("waiting for %s, %.0f s so far", _named(path), time.monotonic() - started)
    note = WriterNote(path)
    note.write()
    try:
        yield note
    finally:
        with suppress(OSError):
            path.unlink()
        lock.release()


def _named(path: Path) -> str:
    try:
        note = json.loads(path.read_text(encoding="utf-8"))
        spent = time.time() - note["since"]
        return (
            f"{note['who']}, which prepares the data: {note['samples']:,} samples in {spent:.0f} s"
        )
    except (OSError, ValueError, KeyError):  # it has just begun, or ended
        return f"another process, which holds {path.with_suffix('.lock')}"
