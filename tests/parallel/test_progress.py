"""Phases, signs of life, and what a look from another thread sees of them."""

from __future__ import annotations

import threading
import time

from xtune.parallel.progress import beat, enter, now, restart, waiting
from xtune.watch.liveness import Pulse, Waited


def looks(pulse: Pulse, seconds: float) -> tuple:
    """What a watchdog sees last, having looked every 20 ms from its own thread."""
    seen = []

    def watch() -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            seen.append(pulse.look())
            time.sleep(0.02)

    thread = threading.Thread(target=watch)
    thread.start()
    thread.join()
    return seen[-1]


def test_a_phase_is_said_with_its_step_and_how_far_it_is():
    before = now().place
    enter("forward 2/4", step=12)
    assert str(now()) == "step 12: forward 2/4"
    beat("half")
    assert str(now()) == "step 12: forward 2/4 (half)"
    enter("saving", slow=True)
    assert str(now()) == "saving"
    assert now().is_slow
    assert now().place == before + 2  # a beat is no phase
    restart()
    assert (now().place, str(now())) == (0, "starting")


def test_one_that_stands_still_is_silent_and_a_beat_ends_the_silence():
    pulse = Pulse()
    enter("standing")
    _, silent, waits = looks(pulse, 0.5)
    assert silent > 0.4
    assert not waits
    beat()
    assert pulse.look()[1] < 0.1


def test_one_that_waits_for_another_says_so():
    with waiting("rank 0's data"):
        progress, _, waits = Pulse().look()
    assert waits
    assert progress.detail == "waiting for rank 0's data"
    assert not Pulse().look()[2]


def test_seconds_in_which_nobody_looked_do_not_count(monkeypatch):
    waited = Waited()
    clock = time.monotonic() + 100
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    waited.look()
    assert waited.seconds == 5
    assert 94 < waited.missed < 96
