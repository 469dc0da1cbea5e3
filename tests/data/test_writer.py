"""One process prepares, another waits and says for whom."""

from __future__ import annotations

import logging
import multiprocessing
import re
import time

from xtune.data.writer import only_writer
from xtune.parallel.progress import now


def _prepare(folder, begun, seconds):
    with only_writer(folder) as note:
        note.write(12_288)
        begun.set()
        time.sleep(seconds)


def _other_that_prepares(folder, *, seconds):
    context = multiprocessing.get_context("spawn")
    begun = context.Event()
    other = context.Process(target=_prepare, args=(folder, begun, seconds))
    other.start()
    assert begun.wait(60)
    return other


def test_who_waits_says_for_whom_and_for_how_long_but_not_too_often(tmp_path, caplog):
    folder = tmp_path / "key"
    other = _other_that_prepares(folder, seconds=3.5)
    with caplog.at_level(logging.INFO), only_writer(folder, reminder=1):
        assert not now().is_waiting
    other.join()
    assert 2 <= len(caplog.messages) <= 4
    line = rf"waiting for rank 0 on \S+ \(process {other.pid}\), which prepares the data: 12,288 "
    assert re.match(line + r"samples in \d s, \d s so far", caplog.messages[-1])
    assert not folder.with_suffix(".writer").exists()


def test_a_killed_writer_is_followed_by_the_next(tmp_path):
    folder = tmp_path / "key"
    other = _other_that_prepares(folder, seconds=600)
    other.kill()
    started = time.monotonic()
    with only_writer(folder):
        assert time.monotonic() - started < 10
