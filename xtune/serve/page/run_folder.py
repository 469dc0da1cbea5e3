"""`RunFolder`: the folder whose runs may be looked at, and what of theirs is kept open.

Names are compared with what there is, and no file counts that a link leads out of: whatever a
request asks for, nothing else is read.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, TypeVar

from xtune.engine.metrics_file import METRICS, Curve, MetricsFile, last_row
from xtune.engine.run_record import RECORD, RunRecord, read_record

__all__ = ["RunFolder", "number_or_none", "within"]

T = TypeVar("T")
_MARKS = ("config.py", RECORD, METRICS)
_QUIET = 120  # seconds without a new line after which a run that says nothing of itself has ended
_KEPT = 4  # of each kind: curves of 100,000 steps are 30 MB


class RunFolder:
    """A folder of runs, such as work_dirs.

    Args:
        root: the folder; need not exist yet.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.expanduser().absolute()
        self._kept: dict[tuple[str, ...], Any] = {}
        self._keeping = threading.RLock()

    def runs(self) -> list[dict[str, Any]]:
        """Return what there is to say of each run, the one that changed last first."""
        found = [self.described(folder) for folder in self._folders() if _is_run(folder)]
        return sorted(found, key=lambda run: (-run["changed"], run["name"]))

    def run(self, name: str) -> Path | None:
        """Return the folder of a run; None where there is none of that name.

        Args:
            name: of the folder.
        """
        return next((f for f in self._folders() if f.name == name and _is_run(f)), None)

    def others(self) -> list[Path]:
        """Return the folders that are no runs: what was measured of other models lies there."""
        return [folder for folder in self._folders() if not _is_run(folder)]

    def described(self, folder: Path) -> dict[str, Any]:
        """Return a run's name, config, state, steps, last loss, and when.

        Args:
            folder: of the run.
        """
        record = self.record(folder)
        metrics = _file(folder, METRICS)
        row = {} if metrics is None else last_row(metrics)
        changed = max(
            (path.stat().st_mtime for mark in _MARKS if (path := _file(folder, mark))), default=0.0
        )
        return {
            "name": folder.name,
            "config": None if record is None else record.config,
            "state": _state(record, changed),
            "why": "" if record is None else record.why,
            "step": row.get("step", 0),
            "max_steps": None if record is None else record.max_steps,
            "loss": number_or_none(row.get("loss")),
            "began": None if record is None else record.began,
            "changed": changed,
        }

    def record(self, folder: Path) -> RunRecord | None:
        """Return what a run says of itself, if it does.

        Args:
            folder: of the run.
        """
        path = _file(folder, RECORD)
        return None if path is None else read_record(path)

    def curves(
        self, folder: Path, names: Collection[str] | None
    ) -> tuple[list[str], dict[str, Curve]]:
        """Return the names of a run's curves, and curves; only what is new is read again.

        Args:
            folder: of the run.
            names: of those that are wanted; None: all.
        """
        path = _file(folder, METRICS)
        if path is None:
            return [], {}
        with self._keeping:  # another thread may ask for the same file
            curves = self.keep(("curves", folder.name), lambda: MetricsFile(path)).curves()
            wanted = curves if names is None else {n: curves[n] for n in names if n in curves}
            copies = {name: Curve(c.steps[:], c.values[:]) for name, c in wanted.items()}
            return [name for name in curves if name != "time"], copies

    def keep(self, key: tuple[str, ...], make: Callable[[], T]) -> T:
        """Return what was made of a key; of each kind, its first word, few are kept.

        Args:
            key: what it is of.
            make: makes it.
        """
        with self._keeping:
            if key in self._kept:
                self._kept[key] = self._kept.pop(key)  # the last that was used goes last
            else:
                self._kept[key] = make()
                kind = [other for other in self._kept if other[0] == key[0]]
                for other in kind[:-_KEPT]:
                    del self._kept[other]
            kept: T = self._kept[key]
            return kept

    def _folders(self) -> Iterator[Path]:
        try:
            inside = sorted(self.root.iterdir())
        except OSError:  # no such folder yet
            return
        for path in inside:
            if not path.name.startswith(".") and path.is_dir() and within(self.root, path.name):
                yield path


def within(folder: Path, name: str) -> Path | None:
    """Return a file or folder that lies in a folder; None where it is not there, or leads out.

    Args:
        folder: that must hold it, links followed.
        name: of it, from the folder on.
    """
    path = folder / name
    try:
        inside = path.resolve(strict=True).is_relative_to(folder.resolve(strict=True))
    except (OSError, RuntimeError, ValueError):  # nothing there, a circle of links
        return None
    return path if inside else None


def number_or_none(value: Any) -> float | None:
    """Return a finite number as one; None for anything else: JSON has no infinite ones.

    Args:
        value: of a file that somebody else may have written.
    """
    is_one = type(value) in (int, float) and abs(value) < math.inf
    return float(value) if is_one else None


def _is_run(folder: Path) -> bool:
    return any(_file(folder, mark) for mark in _MARKS)


def _file(folder: Path, name: str) -> Path | None:
    path = within(folder, name)
    return path if path is not None and path.is_file() else None


def _state(record: RunRecord | None, changed: float) -> str:
    if record is None:
        return "training" if time.time() - changed < _QUIET else "unknown"
    return "killed" if record.is_lost else record.state
