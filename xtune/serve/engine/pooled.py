"""Engines that have a thread for each answer, which waits for what writes it elsewhere."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from xtune.serve.engine.desk import AskedRows, Desk, DeskRow
from xtune.serve.engine.questions import Question

__all__ = ["PooledEngine"]


class PooledEngine(ABC):
    """Takes rows in, has each answered by a thread of a pool, and counts them.

    Args:
        slots: rows at once.
        waiting: rows that may wait for a slot; more are refused.
        name: of the threads.
    """

    def __init__(self, slots: int, waiting: int, name: str) -> None:
        self._desk = Desk(slots, waiting)
        self._slots = slots
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix=name)

    @abstractmethod
    def _answer(self, row: Any) -> None:
        """Answer a row, and tell the desk of its end."""

    def counts(self) -> dict[str, float]:
        """Return what it has done; see `Engine`."""
        running = min(self._desk.open, self._slots)
        return {
            **self._desk.counts,
            "rows_running": running,
            "rows_waiting": self._desk.open - running,
        }

    def close(self) -> None:
        """End; see `Engine`."""
        self._desk.close()
        self._pool.shutdown(cancel_futures=True)

    def _take_in(
        self, questions: Sequence[Question], new_row: Callable[[int, Question], DeskRow]
    ) -> AskedRows:
        self._desk.take_in(len(questions))
        rows = [new_row(index, question) for index, question in enumerate(questions)]
        for row in rows:
            self._pool.submit(self._answer, row)
        return AskedRows(rows, lambda: None)
