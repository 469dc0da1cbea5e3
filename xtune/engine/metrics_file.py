"""metrics.jsonl as it is read: rows, or a curve of each number; see `MetricsHook`, which writes it.

A run may be writing it: a last line without its end is left for the next time. Lines that are no
object with a step, cut off when a process was killed, are passed over.
"""

from __future__ import annotations

import json
import math
import os
from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ["METRICS", "Curve", "MetricsFile", "last_row", "read_rows"]

METRICS = "metrics.jsonl"
_TAIL = 64 * 1024  # bytes in which the last lines are
_NOT_THERE = (FileNotFoundError, IsADirectoryError)


class Curve(NamedTuple):
    """A number by optimizer step, in the order of the steps, each once.

    Attributes:
        steps: int64.
        values: float64; nan where it was infinite or undefined.
    """

    steps: array[int]
    values: array[float]


class MetricsFile:
    """The curves of a metrics.jsonl that may still grow: only what is new is read again.

    Args:
        path: of the file; need not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._which: tuple[int, bytes] | None = None
        self._read = 0  # bytes
        self._curves: dict[str, Curve] = {}

    def curves(self) -> dict[str, Curve]:
        """Return all that was measured so far, by name; empty where there is no file.

        Steps that were trained again, after a resume, count as they are written last.
        """
        try:
            with self.path.open("rb") as file:
                status = os.fstat(file.fileno())
                which = (status.st_ino, file.readline(256))
                if which != self._which or status.st_size < self._read:
                    self._forget()  # another run's, or a resumed one's
                file.seek(self._read)
                new = file.read()
        except _NOT_THERE:
            self._forget()
            return {}
        self._which = which
        whole = new[: new.rfind(b"\n") + 1]
        self._read += len(whole)
        for row in _rows(whole.splitlines()):
            step = row["step"]
            for name, value in row.items():
                if name != "step" and (value is None or type(value) in (int, float)):
                    self._add(name, step, value)
        return dict(self._curves)

    def _add(self, name: str, step: int, value: float | None) -> None:
        steps, values = self._curves.setdefault(name, Curve(array("q"), array("d")))
        while steps and steps[-1] >= step:
            steps.pop()
            values.pop()
        steps.append(step)
        values.append(_finite(value))

    def _forget(self) -> None:
        self._which, self._read, self._curves = None, 0, {}


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a metrics.jsonl; none where there is no such file.

    Args:
        path: of the file.
    """
    try:
        content = path.read_bytes()
    except _NOT_THERE:
        return []
    return list(_rows(content[: content.rfind(b"\n") + 1].splitlines()))


def last_row(path: Path) -> dict[str, Any]:
    """Return the row of the last step that was trained, without reading all; {} if there is none.

    Args:
        path: of the file; need not exist.
    """
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _TAIL))
            content = file.read()
    except _NOT_THERE:
        return {}
    lines = content[: content.rfind(b"\n") + 1].splitlines()
    return next((row for row in _rows(reversed(lines)) if "loss" in row), {})


def _rows(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for line in lines:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, dict) and type(row.get("step")) is int and 0 <= row["step"] < 2**62:
            yield row


def _finite(value: float | None) -> float:
    try:
        return math.nan if value is None or not math.isfinite(value) else float(value)
    except OverflowError:  # an integer of hundreds of digits
        return math.nan
