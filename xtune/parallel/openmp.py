"""Next to other programs, OpenMP's threads sleep while they wait for each other; alone, they spin.

A training step is thousands of short parallel pieces, and threads wait for each other at the end of
each. Spinning is the quickest way to wait while each thread has a processor of its own. Next to a
busy program it is the slowest: a thread spins away the time that the thread it waits for needs, and
half of the fair share of the processors is left, next to ten busy programs a fiftieth.

How long threads spin is fixed when the library is loaded, with one exception, which GNU's manual
(GOMP_SPINCOUNT) names: hardly at all, as long as there are more OpenMP threads than processors. So
while this process's threads wait for processors, another team of threads exists, which sleeps. The
threads that compute stay as many as they were, and so do the sums. `benchmarks/shared_cpu.py`
measures it. Intel's and LLVM's libraries are left as they are: next to a busy program the team made
training no faster there (2026-11-30); KMP_BLOCKTIME=0 is theirs to set.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["SLEEPING", "sharing_processors"]

SLEEPING = "sleeping OpenMP team"  # the name of a thread that keeps one
_EVERY = 0.5  # seconds between two looks
# Seconds a second that a computing thread waits for a processor. Alone it is 0.01 to 0.03, next to
# one busy program 0.25 or more.
_CROWDED, _ALONE = 0.10, 0.05
_DECIDED = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
_TASKS = Path("/proc/self/task")
_MAPS = Path("/proc/self/maps")


@contextmanager
def sharing_processors(
    *, every: float = _EVERY, waited: Callable[[], float] | None = None
) -> Iterator[None]:
    """Watch, within the `with` block, whether other programs want the processors.

    Where the user has set OMP_WAIT_POLICY, GOMP_SPINCOUNT or KMP_BLOCKTIME nothing is watched, nor
    where the system does not say how long threads wait (Linux does).

    Args:
        every: seconds between two looks.
        waited: seconds that this process's threads have waited for a processor so far; default
            what Linux says.
    """
    if any(name in os.environ for name in _DECIDED) or not (waited or _TASKS.is_dir()):
        yield
        return
    over = threading.Event()
    watch = threading.Thread(target=_watch, args=(over, every, waited or _waited), daemon=True)
    watch.start()
    try:
        yield
    finally:
        over.set()
        watch.join()


def _watch(over: threading.Event, every: float, waited: Callable[[], float]) -> None:
    alone = threading.Event()  # is set: no team sleeps
    alone.set()
    sleepers: list[threading.Thread] = []
    before, then = waited(), time.monotonic()
    while not over.wait(every):
        now, total = time.monotonic(), waited()
        share, before, then = (total - before) / (now - then), total, now
        threads = _computing_threads()
        if threads < 2:  # one waits for nobody
            continue
        if alone.is_set() and share > _CROWDED * threads:
            if _is_another_library():
                break
            alone = threading.Event()
            sleepers += _let_teams_sleep(threads, until=alone)
        elif share < _ALONE * threads:
            alone.set()
    alone.set()
    for sleeper in sleepers:  # a team that is still being made must not meet the end of Python
        sleeper.join()


def _let_teams_sleep(threads: int, *, until: threading.Event) -> list[threading.Thread]:
    """Make as many further teams of `threads` as it takes to outnumber the processors."""
    spare = len(os.sched_getaffinity(0)) - threads
    teams = [
        threading.Thread(target=_sleep_as_a_team, args=(until,), daemon=True, name=SLEEPING)
        for _ in range(max(spare, 0) // (threads - 1) + 1)
    ]
    for team in teams:
        team.start()
    return teams


def _sleep_as_a_team(until: threading.Event) -> None:
    # A parallel piece makes the team of the thread that asks for it; it ends with that thread.
    sys.modules["torch"].ones(1 << 20).add_(1)
    until.wait()


def _computing_threads() -> int:
    """How many threads a product is divided among; 1 before torch is imported, and while it is."""
    torch = sys.modules.get("torch")
    if torch is None or getattr(torch.__spec__, "_initializing", False):
        return 1
    return int(torch.get_num_threads())


def _is_another_library() -> bool:
    """Whether Intel's or LLVM's OpenMP is loaded: it takes GNU's place, also where that is too."""
    maps = _MAPS.read_text(errors="replace") if _MAPS.is_file() else ""
    return "/libiomp5" in maps or "/libomp" in maps


def _waited() -> float:
    """Seconds that the threads of this process were ready to run and had no processor."""
    waited = 0
    for task in _TASKS.iterdir():
        try:
            waited += int((task / "schedstat").read_text().split()[1])  # nanoseconds
        except (OSError, IndexError):  # the thread has ended, or the kernel does not count
            continue
    return waited / 1e9
