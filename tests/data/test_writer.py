"""One process prepares, another waits and says for whom."""

from __future__ import annotations

import itertools
import logging
import multiprocessing
import re

from xtune.data.writer import only_writer
from xtune.parallel.progress import now


def _prepare(folder, begun, may_end):
    with only_writer(folder) as note:
        note.write(12_288)
        begun.set()
        may_end.wait()


def _other_that_prepares(folder):
    """A process that holds the lock until it is told that it may end."""
    context = multiprocessing.get_context("spawn")
    begun, may_end = context.Event(), context.Event()
    other = context.Process(target=_prepare, args=(folder, begun, may_end))
    other.start()
    assert begun.wait(60)
    return other, may_end


class _AfterThree(logging.Handler):
    """Lets the other end when three lines have been said."""

    def __init__(self, may_end):
        super().__init__()
        self.may_end, self.said = may_end, []

    def emit(self, record):
        self.said.append(record)
        if len(self.said) == 3:
            self.may_end.set()


def test_who_waits_says_for_whom_and_for_how_long_but_not_too_often(tmp_path, caplog):
    folder = tmp_path / "key"
    other, may_end = _other_that_prepares(folder)
    listener = _AfterThree(may_end)
    logging.getLogger("xtune.data.writer").addHandler(listener)
    with caplog.at_level(logging.INFO), only_writer(folder, reminder=0.3):
        assert not now().is_waiting
    logging.getLogger("xtune.data.writer").removeHandler(listener)
    other.join()
    times = [record.created for record in listener.said]
    assert len(times) >= 3
    assert all(later - earlier >= 0.25 for earlier, later in itertools.pairwise(times))
    line = rf"waiting for rank 0 on \S+ \(process {other.pid}\), which prepares the data: 12,288 "
    assert re.match(line + r"samples in \d s, \d s so far", caplog.messages[-1])
    assert not folder.with_suffix(".writer").exists()


def test_a_killed_writer_is_followed_by_the_next(tmp_path):
    folder = tmp_path / "key"
    other, _ = _other_that_prepares(folder)
    other.kill()
    with only_writer(folder) as note:  # or for ever
        note.write()
    assert not folder.with_suffix(".writer").exists()
