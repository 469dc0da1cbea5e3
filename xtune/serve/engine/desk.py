"""Where questions are taken in and their ends given out: how many may be, what is counted."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol

from xtune.serve.engine.questions import Broken, Busy, Closed, End, Event

__all__ = ["AskedRows", "Desk", "DeskRow"]


class DeskRow(Protocol):
    """A question that is being answered, as the desk sees it."""

    prompt: tuple[int, ...]
    asked_at: float
    on_event: Callable[[Event], None]

    @property
    def done(self) -> bool:
        """Whether nothing more is written."""

    def leave(self) -> None:
        """End it here."""

    def end(self) -> End:
        """Return what its client is told at the end."""


class Desk:
    """Takes in as many rows as may be answered and wait.

    Args:
        slots: rows that are answered at once.
        waiting: rows that may wait; more are refused.

    Attributes:
        counts: of what was done, by the names of metrics.
    """

    def __init__(self, slots: int, waiting: int) -> None:
        self.counts: Counter[str] = Counter()
        self._slots = slots
        self._most = slots + waiting
        self._open = 0
        self._closed = False
        self._seconds = 1.0  # that a row took lately
        self._lock = threading.Lock()

    @property
    def open(self) -> int:
        """How many rows were taken in and have not ended."""
        return self._open

    @property
    def closed(self) -> bool:
        """Whether none is taken in any more."""
        return self._closed

    def take_in(self, count: int) -> None:
        """Take some rows in.

        Raises:
            Busy: there is no room for them.
            Closed: none is taken in any more.
        """
        with self._lock:
            if self._closed:
                raise Closed("the server is ending")
            if self._open + count > self._most:
                seconds = math.ceil(self._seconds * self._open / self._slots)
                raise Busy(
                    f"{self._open} answers are being written or wait, which is all there is room "
                    "for; ask again later",
                    min(max(seconds, 1), 60),
                )
            self._open += count

    def close(self) -> None:
        """Take none in any more."""
        with self._lock:
            self._closed = True

    def end(self, rows: Sequence[DeskRow]) -> None:
        """Tell the clients of rows that have ended."""
        ends = [(row, row.end()) for row in rows]
        with self._lock:
            for row, end in ends:
                self.counts["prompt_tokens_total"] += len(row.prompt)
                self.counts["prompt_tokens_known_total"] += end.known
                self.counts["answer_tokens_total"] += end.tokens
                self.counts[f"answers_ended_total:{end.ended_by}"] += 1
                self._seconds += 0.2 * (time.monotonic() - row.asked_at - self._seconds)
            self._open -= len(rows)
        for row, end in ends:  # last: who hears of it may count, or ask again
            row.on_event(end)

    def break_off(self, rows: Sequence[DeskRow], why: str) -> None:
        """Tell the clients of rows that get no answer."""
        with self._lock:
            self.counts["answers_ended_total:broken"] += len(rows)
            self._open -= len(rows)
        for row in rows:
            row.on_event(Broken(why))


class AskedRows:
    """The rows of one client's questions.

    Args:
        rows: of the client.
        wake: called when some were left.
    """

    def __init__(self, rows: Sequence[DeskRow], wake: Callable[[], None]) -> None:
        self._rows = rows
        self._wake = wake

    def leave(self) -> None:
        """Free the rows that have not ended, within one step."""
        going = [row for row in self._rows if not row.done]
        for row in going:
            row.leave()
        if going:
            self._wake()
