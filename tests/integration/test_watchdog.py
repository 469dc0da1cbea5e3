"""One process of two hangs, dies or fails: all end, soon, and say whose fault it was."""

from __future__ import annotations

import pytest

from tests.integration.hang import end_of, hang
from tests.integration.test_ddp import start
from tests.runs import losses


@pytest.mark.parametrize(
    ("how", "rank"),
    [
        ("sleep", 1),
        pytest.param("stop", 0, marks=pytest.mark.slow),
        pytest.param("lock", 1, marks=pytest.mark.slow),
    ],
)
def test_a_rank_that_hangs_is_named_and_every_process_leaves_its_stacks(
    inputs, tmp_path, how, rank
):
    # What is stopped, or holds the lock, has last said up to a second before where it was: most
    # likely it has come into its steps by then.
    step = 3 if how == "sleep" else 100
    hook = hang(how, rank=rank, step=step)
    process = start(inputs, tmp_path, hook, "env_cfg.hang_timeout=10", "max_steps=1000")
    end = end_of(process)
    assert process.returncode == 1, end
    assert f"rank {rank} (host" in end[-1]
    assert "stands still for" in end[-1]
    assert how == "stop" or "in step " in end[-1]
    assert how != "sleep" or "in step 3: loading the batches" in end[-1]
    assert len(losses(tmp_path)) == step - 1
    stacks = {path.name: path.read_text() for path in tmp_path.glob("stacks.rank*.txt")}
    if how != "stop":  # a stopped process writes nothing
        assert "hang.py" in stacks[f"stacks.rank{rank}.txt"]
    assert "all_reduce" in stacks[f"stacks.rank{1 - rank}.txt"]


@pytest.mark.slow
def test_a_rank_that_is_slow_is_waited_for(inputs, tmp_path):
    process = start(
        inputs, tmp_path, hang("work", seconds=20), "env_cfg.hang_timeout=10", "max_steps=4"
    )
    said = process.communicate(timeout=180)[0]
    assert process.returncode == 0, said
    assert len(losses(tmp_path)) == 4
    assert not list(tmp_path.glob("stacks.*"))


@pytest.mark.slow
def test_the_error_of_one_rank_is_said_last(inputs, tmp_path):
    process = start(inputs, tmp_path, hang("fail", rank=1))
    end = end_of(process)
    assert process.returncode == 1, end
    assert "The first of 2 that failed, rank 1:" in end[0]
    assert "RuntimeError: the test's crash of one rank" in end[1]
