"""What a run says: on the console through rich, and in work_dir/train.log."""

from __future__ import annotations

import logging
from pathlib import Path

from rich.console import Console

__all__ = ["FILE_ONLY", "close_logs", "log_to_console", "log_to_file"]

# logger.info(..., extra=FILE_ONLY) keeps a line off the console: the progress bar shows it there.
FILE_ONLY = {"file_only": True}


class _ConsoleHandler(logging.Handler):
    """Prints through the console that draws the progress bar, so that lines stay above the bar."""

    def __init__(self, console: Console) -> None:
        super().__init__(logging.INFO)
        self.console = console

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


class _LogFile(logging.FileHandler):
    """A log that cannot be written (a full disk) is no reason to fill the console."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Pass over a line that could not be written."""


def log_to_console(console: Console) -> logging.Handler:
    """Print what any part of xtune logs, from INFO up, through `console`."""
    return _attach(_ConsoleHandler(console))


def log_to_file(file: Path) -> logging.Handler:
    """Append all that any part of xtune logs, tracebacks too, to `file`."""
    handler = _LogFile(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    return _attach(handler)


def close_logs(handlers: list[logging.Handler]) -> None:
    """Detach and close handlers that the functions above attached."""
    for handler in handlers:
        logging.getLogger("xtune").removeHandler(handler)
        handler.close()


def _attach(handler: logging.Handler) -> logging.Handler:
    logger = logging.getLogger("xtune")
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
    return handler
