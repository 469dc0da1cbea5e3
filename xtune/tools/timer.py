"""`timer`: rings at the terminal after so many minutes, as long as the chat is open.

It waits in its own worker process, which the tool box ends with the conversation: `/reset`, leaving
the chat, or a one-shot `--prompt` ends its timers too. Where there is no terminal, such as under a
server, nothing rings. What a call returns depends on its arguments alone, so that it can stand in
training data.
"""

from __future__ import annotations

import contextlib
import math
import os
import threading

import psutil

from xtune.tools.base import ToolError, tool

__all__ = ["Timer", "timer"]

_MOST_MINUTES = 24 * 60
_MOST_RUNNING = 100
_LONGEST_LABEL = 80


def timer(minutes: float, label: str = "") -> str:
    """Return what a timer says when it is set; nothing is started.

    Args:
        minutes: how long; above 0, at most 24 hours.
        label: what it is for.

    Raises:
        ToolError: the time is out of range, or the label too long.

    >>> timer(12, "tea")
    'timer set: 12 minutes (tea)'
    """
    return f"timer set: {_named(minutes, label)}"


@tool(name="timer", seconds=5, alone=True)
class Timer:
    """Timers of one conversation.

    Args:
        ring: false: nothing rings, and the answers are the same; for making data and for tests.
    """

    def __init__(self, *, ring: bool = True) -> None:
        self._terminal = _terminal_of_the_chat() if ring else None

    def __call__(self, minutes: float, label: str = "") -> str:
        """Start a timer that rings at the terminal while the chat is open.

        Args:
            minutes: how long; 90 for an hour and a half, 0.5 for half a minute.
            label: what it is for, such as tea.
        """
        said = timer(minutes, label)
        if self._terminal is not None:
            if threading.active_count() > _MOST_RUNNING:
                raise ToolError(f"{_MOST_RUNNING} timers are running already; wait for one to ring")
            text = f"timer: {_named(minutes, label)}: time is up"
            waiting = threading.Timer(minutes * 60, ring, (self._terminal, text))
            waiting.daemon = True
            waiting.start()
        return said


def ring(terminal: str, text: str) -> None:
    """Write a bell and a line to a terminal; one that is gone hears nothing.

    Args:
        terminal: its device file.
        text: the line.
    """
    with contextlib.suppress(OSError):
        fd = os.open(terminal, os.O_WRONLY | os.O_NOCTTY | os.O_NONBLOCK)
        try:
            os.write(fd, f"\a\r\n{text}\r\n".encode())
        finally:
            os.close(fd)


def _named(minutes: float, label: str) -> str:
    if not (math.isfinite(minutes) and 0 < minutes <= _MOST_MINUTES):
        raise ToolError(
            f"minutes={minutes:g} is out of range: above 0 and at most {_MOST_MINUTES} (24 hours)"
        )
    # A model's text goes to a terminal: no character there may move its cursor or colour it
    label = " ".join("".join(c if c.isprintable() else " " for c in label).split())
    if len(label) > _LONGEST_LABEL:
        raise ToolError(f"the label has {len(label)} characters; at most {_LONGEST_LABEL} fit")
    many = f"{minutes:g} minute{'' if minutes == 1 else 's'}"
    return f"{many} ({label})" if label else many


def _terminal_of_the_chat() -> str | None:
    # A worker is in a session of its own, so that Ctrl-C does not reach it: it has no terminal
    with contextlib.suppress(psutil.Error):
        return psutil.Process(os.getppid()).terminal()
    return None
