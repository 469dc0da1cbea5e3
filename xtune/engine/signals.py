"""Ctrl-C, SIGTERM, or another thread's event: finish the step, save, and say how to go on."""

from __future__ import annotations

import logging
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

__all__ = ["StopSignals"]

_log = logging.getLogger(__name__)


class StopSignals:
    """Inside this context SIGINT and SIGTERM only set `received`; a second Ctrl-C stops at once.

        with StopSignals() as signals:
            while not signals.received: ...

    Outside the main thread, where Python allows no handlers, only the event ends a run.

    Args:
        stop: an event that counts as SIGINT once it is set; see `xtune.train`.

    Attributes:
        received: the first signal that came, or None.
    """

    def __init__(self, stop: threading.Event | None = None) -> None:
        self.received: signal.Signals | None = None
        self._stop = stop
        self._previous: dict[signal.Signals, Any] = {}

    def look(self) -> signal.Signals | None:
        """Return `received`, which is SIGINT where the event has been set since."""
        if self.received is None and self._stop is not None and self._stop.is_set():
            self.received = signal.SIGINT
            _log.warning("told to stop: saving after this step")
        return self.received

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.received is None:
            self.received = signal.Signals(number)
            _log.warning(
                "%s: finishing this step, then saving; Ctrl-C (again) stops at once, unsaved",
                self.received.name,
            )
