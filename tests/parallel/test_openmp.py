"""Teams of threads that sleep while other programs want the processors."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest
import torch

from xtune.parallel.openmp import SLEEPING, _waited, sharing_processors


class Waiting:
    """Seconds that threads have waited: as many a second as `share` says."""

    def __init__(self) -> None:
        self.share = 0.0
        self._total, self._then = 0.0, time.monotonic()

    def __call__(self) -> float:
        now = time.monotonic()
        self._total += self.share * (now - self._then)
        self._then = now
        return self._total


@pytest.fixture(autouse=True)
def undecided(monkeypatch):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def two_threads():
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(1)


def sleeping() -> int:
    return sum(thread.name == SLEEPING for thread in threading.enumerate())


def until(condition) -> bool:
    deadline = time.monotonic() + 20
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return bool(condition())


def tasks() -> int:
    return len(os.listdir("/proc/self/task"))


def test_teams_outnumber_the_processors_while_threads_wait_and_end_after(two_threads):
    torch.ones(1 << 20).add_(1)  # the team that computes
    waiting, alone = Waiting(), tasks()
    with sharing_processors(every=0.01, waited=waiting):
        processors = len(os.sched_getaffinity(0))
        teams = max(processors - 2, 0) + 1  # of one thread more each
        assert sleeping() == 0
        waiting.share = 0.5
        assert until(lambda: sleeping() == teams)
        assert until(lambda: tasks() == alone + 1 + 2 * teams)  # the watch; a team has two
        assert torch.get_num_threads() == 2
        time.sleep(0.1)
        assert sleeping() == teams  # no more of them at each look
        waiting.share = 0.0
        assert until(lambda: sleeping() == 0)
        waiting.share = 0.5
        assert until(lambda: sleeping() == teams)
    assert until(lambda: tasks() == alone)


def test_sums_stay_the_same_bit_for_bit(two_threads):
    numbers = torch.randn(1 << 20, generator=torch.Generator().manual_seed(0))
    alone = numbers.sum()
    waiting = Waiting()
    waiting.share = 1.0
    with sharing_processors(every=0.01, waited=waiting):
        assert until(lambda: sleeping() > 0)
        assert torch.equal(numbers.sum(), alone)


def test_one_thread_waits_for_nobody():
    waiting = Waiting()
    waiting.share = 1.0
    with sharing_processors(every=0.01, waited=waiting):
        time.sleep(0.1)
        assert sleeping() == 0


def test_nothing_is_asked_of_a_torch_that_is_still_being_imported():
    program = """
import time
from xtune.parallel.openmp import sharing_processors
with sharing_processors(every=0.001, waited=lambda: 9 * time.monotonic()):
    import torch
"""
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_what_the_user_has_set_stays(monkeypatch, two_threads, name):
    monkeypatch.setenv(name, "0")
    before, waiting = threading.active_count(), Waiting()
    waiting.share = 1.0
    with sharing_processors(every=0.01, waited=waiting):
        assert threading.active_count() == before
        time.sleep(0.1)
        assert sleeping() == 0


def test_linux_counts_how_long_threads_wait():
    before = _waited()
    assert before >= 0
    on_one = os.sched_getaffinity(0)
    try:  # two threads of C on one processor: one of them always waits
        os.sched_setaffinity(0, {min(on_one)})
        threads = [threading.Thread(target=lambda: torch.ones(1 << 22).sort()) for _ in range(4)]
        for thread in threads:
            thread.start()
        assert until(lambda: _waited() > before + 0.01)
        for thread in threads:
            thread.join()
    finally:
        os.sched_setaffinity(0, on_one)


@pytest.mark.parametrize("library", ["libiomp5.so", "libomp.so.5"])
def test_another_library_than_gnus_is_left_as_it_is(monkeypatch, tmp_path, two_threads, library):
    maps = tmp_path / "maps"
    maps.write_text(
        f"7f0-7f1 r-xp 0 fe:00 1 /usr/lib/libgomp.so.1\n7f2-7f3 r-xp 0 0 2 /l/{library}\n"
    )
    monkeypatch.setattr("xtune.parallel.openmp._MAPS", maps)
    waiting = Waiting()
    waiting.share = 1.9
    before = threading.active_count()
    with sharing_processors(every=0.01, waited=waiting):
        assert until(lambda: threading.active_count() == before)  # nobody watches any more
        assert sleeping() == 0
