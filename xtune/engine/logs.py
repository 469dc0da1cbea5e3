"""What a run says: on the console through rich, and in work_dir/train.log."""

from __future__ import annotations

import logging
import sys
from contextlib import nullcontext
from pathlib import Path

from rich.console import Console

from xtune.parallel.world import World

__all__ = ["FILE_ONLY", "HeldLog", "close_logs", "log_to_console", "open_console"]

# logger.info(..., extra=FILE_ONLY) keeps a line off the console: the progress bar shows it there.
FILE_ONLY = {"file_only": True}


class _ConsoleHandler(logging.Handler):
    """Prints through the console that draws the progress bar, so that lines stay above the bar.

    While it is open, handlers that the user's program has given the root logger do not print the
    same lines on the same screen; those that write elsewhere, to a file, still get them.
    """

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self.console = console
        screens = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
        self._others = [
            other
            for other in logging.getLogger().handlers
            if isinstance(other, logging.StreamHandler) and other.stream in screens
        ]
        for other in self._others:
            other.addFilter(_is_not_ours)

    def emit(self, record: logging.LogRecord) -> None:
        """Print one record; warnings in yellow, errors in red."""
        if getattr(record, "file_only", False):
            return
        style = "red" if record.levelno >= logging.ERROR else "yellow"
        self.console.print(
            record.getMessage(),
            style=style if record.levelno >= logging.WARNING else None,
            markup=False,
            highlight=False,
            soft_wrap=True,
        )

    def close(self) -> None:
        """Let the user's handlers print again."""
        for other in self._others:
            other.removeFilter(_is_not_ours)
        super().close()


class HeldLog(logging.Handler):
    """Holds all that any part of xtune logs, tracebacks too, until a file is named for it."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._held: list[logging.LogRecord] = []
        self._file: _LogFile | None = None
        _attach(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Hold one record, or write it."""
        if self._file is None:
            self._held.append(record)
        else:
            self._file.handle(record)

    def append_to(self, work_dir: Path, world: World) -> None:
        """Append what has been held to train.log, and from here on every line as it comes; once.

        Every process but the first has a file of its own, train.rank1.log.

        Args:
            work_dir: of the run.
            world: its processes.
        """
        if self._file is not None:
            return
        with self.lock or nullcontext():
            name = "train.log" if world.is_main else f"train.rank{world.rank}.log"
            self._file = _LogFile(work_dir / name, encoding="utf-8")
            self._file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
            for record in self._held:
                self._file.handle(record)
            self._held.clear()

    def close(self) -> None:
        """Close the file, if there is one."""
        if self._file is not None:
            self._file.close()
        super().close()


class _LogFile(logging.FileHandler):
    """A log that cannot be written (a full disk) is no reason to fill the console."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Pass over a line that could not be written."""


def open_console() -> Console:
    """Return the console of a run; in a notebook it writes plain text, not an output a line."""
    console = Console()
    if not console.is_jupyter:
        return console
    # A kernel's streams say that they are terminals, and cannot draw a line again.
    return Console(force_jupyter=False, force_terminal=False)


def log_to_console(console: Console) -> logging.Handler:
    """Print what any part of xtune logs, from INFO up, through `console`."""
    return _attach(_ConsoleHandler(console))


def close_logs(handlers: list[logging.Handler]) -> None:
    """Detach and close handlers that the functions above attached."""
    logger = logging.getLogger("xtune")
    for handler in handlers:
        logger.removeHandler(handler)
        handler.close()
    if not logger.handlers:
        logger.setLevel(logging.NOTSET)


def _is_not_ours(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] != "xtune"


def _attach(handler: logging.Handler) -> logging.Handler:
    logger = logging.getLogger("xtune")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    return handler
