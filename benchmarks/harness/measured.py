"""Run a program and measure what it takes: wall-clock time, and the memory of its whole tree."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["Measured", "ProgramFailed", "run"]

_EVERY = 0.2  # seconds between two looks at the tree's memory


class ProgramFailed(Exception):
    """A program ended with another exit code than 0; says what it wrote last."""


@dataclass(frozen=True)
class Measured:
    """What a program took.

    Attributes:
        seconds: from its start to its end.
        peak_memory_mb: MiB; the most that the process and its children held at once (resident
            sizes added up, so pages that they share count for each).
        stdout: what it printed.
    """

    seconds: float
    peak_memory_mb: float
    stdout: str


def run(
    command: Sequence[str | Path],
    *,
    threads: int | None = None,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Measured:
    """Run a program offline, with a number of threads, to its end.

    Args:
        command: the program and its words.
        threads: for OpenMP and so for torch; default what the program chooses.
        cwd: where it runs.
        environment: variables besides those of this process.

    Raises:
        ProgramFailed: its exit code is not 0.
    """
    variables = os.environ | {
        "HF_HUB_OFFLINE": "1",
        "HF_DATASETS_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "true",
        "PYTHONPATH": "",
        **(environment or {}),
    }
    variables.pop("OMP_NUM_THREADS", None)
    if threads is not None:
        variables["OMP_NUM_THREADS"] = str(threads)
    began = time.perf_counter()
    child = subprocess.Popen(
        [str(word) for word in command],
        env=variables,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    tree = _Tree(child.pid)
    stdout, stderr = child.communicate()
    seconds = time.perf_counter() - began
    peak = tree.stop()
    if child.returncode:
        raise ProgramFailed(
            f"exit code {child.returncode}: {' '.join(map(str, command))}\n"
            f"{stdout[-2000:]}\n{stderr[-4000:]}"
        )
    return Measured(seconds, peak, stdout)


class _Tree:
    """Looks at the memory of a process and all below it until it is told to stop."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._peak = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def stop(self) -> float:
        self._over.set()
        self._thread.join()
        return self._peak / 2**20

    def _look(self) -> None:
        while not self._over.wait(_EVERY):
            held = 0
            try:
                for process in (self._root, *self._root.children(recursive=True)):
                    held += process.memory_info().rss
            except psutil.Error:  # one has ended since
                continue
            self._peak = max(self._peak, held)
