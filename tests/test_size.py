"""What the suite starts is counted; that there is not too much of it is said when all have run."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

from tests.forked import Forked
from tests.runs import train
from tests.size import LIMITS, Size, over


def test_processes_and_trainings_are_counted(inputs, tmp_path):
    size = Size()
    subprocess.run([sys.executable, "-c", ""], check=True)
    subprocess.run(["true"], check=True)
    assert size.counts == {"processes": 1}
    Forked("platform", [], tmp_path / "said.txt").communicate(timeout=300)
    assert size.counts == {"processes": 2}
    train(inputs, tmp_path / "run", "max_steps=1")
    train(inputs, tmp_path / "other", "max_steps=1")
    (tmp_path / "run/metrics.jsonl").read_text()
    assert size.counts == {"processes": 2, "trainings": 2}


def test_more_than_is_allowed_has_a_line_that_says_where_to_read_on():
    assert over(Counter(LIMITS)) == []
    more = Counter(LIMITS) + Counter({"trainings": 1})
    (line,) = over(more)
    assert f"{LIMITS['trainings'] + 1} trainings" in line
    assert "tests/size.py" in line
