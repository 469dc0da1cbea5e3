"""What this process is doing, said where it does it and read by its watchdog.

    enter("forward 2/4", step=12)    the next phase of the program that all processes run alike
    beat("12,288 samples")           a sign of life in a long phase, of this process alone
    with waiting("rank 0's cache"):  alive, and not to blame for standing still

There is one a process, as there is one logging: what is slow lies deep in the data or the chat.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

__all__ = ["Progress", "beat", "enter", "now", "restart", "waiting"]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a process is.

    Attributes:
        place: phases entered so far. Processes at the same point of the program have the same, so
            that the one with the lowest is the one that the others wait for.
        phase: what it is in.
        step: the optimizer step, from 1; None before and after them.
        detail: how far it is in the phase.
        beats: signs of life so far.
        is_slow: the phase reads or writes whole models or data: one call may take many minutes.
        is_waiting: for another process.
    """

    place: int = 0
    phase: str = "starting"
    step: int | None = None
    detail: str = ""
    beats: int = 0
    is_slow: bool = False
    is_waiting: bool = False

    def __str__(self) -> str:
        text = self.phase if self.step is None else f"step {self.step}: {self.phase}"
        return f"{text} ({self.detail})" if self.detail else text


_now = Progress()
_changing = threading.RLock()  # a thread that prepares data may beat while the main one goes on


def now() -> Progress:
    """Return where this process is."""
    return _now


def restart() -> None:
    """Begin to count anew: processes that have done other things before are together again."""
    global _now
    with _changing:
        _now = Progress(beats=_now.beats + 1)


def enter(phase: str, *, step: int | None = None, slow: bool = False) -> None:
    """Go on to the next phase; all processes of a run enter the same ones in the same order.

    Args:
        phase: in words, for messages.
        step: optimizer step it belongs to.
        slow: it may take minutes without a sign of life.
    """
    global _now
    with _changing:
        _now = Progress(_now.place + 1, phase, step, beats=_now.beats + 1, is_slow=slow)


def beat(detail: str | None = None) -> None:
    """Give a sign of life, and say how far it is; None: as before."""
    global _now
    with _changing:
        said = _now.detail if detail is None else detail
        _now = replace(_now, beats=_now.beats + 1, detail=said)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Inside, this process waits for what another one does in the same phase."""
    global _now
    with _changing:
        before = _now.detail
        _now = replace(_now, is_waiting=True, detail=f"waiting for {what}")
    try:
        yield
    finally:
        with _changing:
            _now = replace(_now, is_waiting=False, detail=before, beats=_now.beats + 1)
