"""One of two processes prepares the data; the other says for whom it waits, and nothing hangs."""

from __future__ import annotations

import re

import pytest

from tests.integration.test_ddp import start
from tests.runs import losses


@pytest.mark.slow
def test_the_other_says_for_whom_it_waits_and_for_how_long(inputs, tmp_path):
    slow = "map_fn=tests/integration/slow_rows.py:slow_map_fn"  # 48 rows: 24 seconds
    process = start(inputs, tmp_path, slow, "env_cfg.hang_timeout=5", "max_steps=2")
    said = process.communicate(timeout=240)[0]
    assert process.returncode == 0, said
    assert len(losses(tmp_path)) == 2
    logs = [(tmp_path / name).read_text() for name in ("train.log", "train.rank1.log")]
    waiting = [rank for rank, log in enumerate(logs) if "waiting for rank" in log]
    assert len(waiting) == 1  # the other one prepares
    lines = re.findall(
        rf"waiting for rank {1 - waiting[0]} on \S+ \(process \d+\), which prepares the data: "
        r"0 samples in 1\d s, 1\d s so far",
        logs[waiting[0]],
    )
    assert len(lines) == 1  # every 15 seconds
