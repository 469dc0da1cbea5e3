"""A mixture through the command's way: cut and resumed it is the run never cut, and no other."""

import json

import pytest

from tests.runs import losses, sheet_of
from xtune.engine.runner import Runner
from xtune.errors import CheckpointError

CRASH = "default_hooks.tensorboard={'type': 'tests/integration/crash.py:CrashAt', 'step': 6}"


@pytest.fixture
def run(inputs, tmp_path):
    pairs = [{"instruction": f"Add {n}.", "input": "", "output": f"{n + 2}"} for n in range(40)]
    alpaca = tmp_path / "alpaca.json"

    def of(work_dir, *further, order=1, resume=None):
        alpaca.write_text(json.dumps(pairs[::order]))
        sources = [
            {"data_path": str(inputs.data), "map_fn": "openai", "weight": 2},
            {"data_path": str(alpaca), "map_fn": "alpaca", "weight": 1},
        ]
        sheet = sheet_of(inputs, "max_steps=8", f"data_path={sources}", *further)
        Runner(sheet, work_dir=tmp_path / work_dir, resume=resume).train()
        return losses(tmp_path / work_dir)

    return of


def test_resumed_it_is_the_run_that_was_never_cut(run):
    whole = run("whole")
    with pytest.raises(RuntimeError, match="the test's crash"):
        run("cut", CRASH)
    assert run("cut", resume="auto") == whole


def test_data_that_differ_in_nothing_but_their_order_are_not_resumed(run):
    with pytest.raises(RuntimeError, match="the test's crash"):
        run("cut", CRASH)
    with pytest.raises(CheckpointError, match="the data are not those"):
        run("cut", order=-1, resume="auto")
