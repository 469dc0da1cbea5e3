"""`Pulse`: how long this process has given no sign of life; `Waited`: the seconds that count."""

from __future__ import annotations

import sys
import threading
import time
from types import FrameType

from xtune.parallel.progress import Progress, now

__all__ = ["Pulse", "Waited"]

_UNSEEN = 5.0  # seconds between two looks above which the looker has been away
# The innermost function of a process that waits in a collective is in one of these.
_WAITING_IN = ("/torch/distributed/", "/xtune/parallel/world.py")


class Waited:
    """How long something has been waited for, looked at every second or so.

    Time in which nobody could look does not count: the run was stopped (Ctrl-Z, a scheduler that
    suspends it) or a call into C held Python's lock, and what was waited for may have come.

    Attributes:
        seconds: so long.
        missed: of the last look, what was not counted.
    """

    def __init__(self) -> None:
        self.seconds = self.missed = 0.0
        self._looked = time.monotonic()

    def look(self) -> None:
        """Count the time since the last look."""
        passed = time.monotonic() - self._looked
        self._looked += passed
        counted = min(passed, _UNSEEN)
        self.seconds += counted
        self.missed = passed - counted


class Pulse:
    """Looks at the phase, at its beats, and at where the main thread stands in the program.

    A download, or a user's own evaluation, has no beats; but its Python moves, while that of a
    process in a dead collective, or asleep, stands in the same line however often one looks.
    """

    def __init__(self) -> None:
        self._seen: tuple[int, int, int] | None = None
        self._silence = Waited()

    def look(self) -> tuple[Progress, float, bool]:
        """Return where the process is, for how many seconds it has stood there without a sign of
        life, and whether it waits for others.
        """
        progress = now()
        frame = sys._current_frames().get(threading.main_thread().ident or 0)
        waits = progress.is_waiting or (
            frame is not None and any(part in frame.f_code.co_filename for part in _WAITING_IN)
        )
        seen = progress.place, progress.beats, _standing_in(frame)
        if seen != self._seen:
            self._seen, self._silence = seen, Waited()
        self._silence.look()
        return progress, self._silence.seconds, waits


def _standing_in(frame: FrameType | None) -> int:
    """A hash of the instructions that all functions on a stack are at."""
    standing = []
    while frame is not None:
        standing.append((id(frame.f_code), frame.f_lasti))
        frame = frame.f_back
    return hash(tuple(standing))
