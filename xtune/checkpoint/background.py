"""`BackgroundWriter`: one checkpoint is written while the training goes on."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event

__all__ = ["BackgroundWriter", "Writer"]

# Writes a checkpoint: is given an event that is set when the run ends with an error, and returns
# the folder, on the process that has one.
Writer = Callable[[Event], Path | None]


class BackgroundWriter:
    """Writes in a thread of its own, one checkpoint at a time.

    What the writer raises is raised by `finished`: nothing is lost silently.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._future: Future[Path | None] | None = None
        self._ending = Event()

    def submit(self, write: Writer) -> None:
        """Begin to write; the one before must have been taken by `finished`.

        Args:
            write: is given an event that `close` sets, so as not to wait for others in vain.
        """
        assert self._future is None
        self._future = self._pool.submit(write, self._ending)

    def finished(self, *, wait: bool) -> Path | None:
        """Return the folder that has been written, once; None if there is none (yet).

        Args:
            wait: until it is written.

        Raises:
            CheckpointError: the disk is full.
        """
        if self._future is None or not (wait or self._future.done()):
            return None
        future, self._future = self._future, None
        return future.result()

    def close(self) -> BaseException | None:
        """Wait for the checkpoint being written; return what it has raised and nobody has taken."""
        self._ending.set()
        self._pool.shutdown()
        return None if self._future is None else self._future.exception()
