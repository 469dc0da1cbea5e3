"""A streamed run, cut and resumed in the middle of a window, is the run that was never cut."""

import pytest

from tests.runs import losses, metrics, sheet_of
from xtune.engine.runner import Runner
from xtune.errors import CheckpointError, ConfigError

CRASH = "default_hooks.tensorboard={'type': 'tests/integration/crash.py:CrashAt', 'step': 18}"
STREAMED = ["train_dataset.type=StreamedSFTDataset", "train_dataset.window_rows=20"]


def run(inputs, work_dir, *further, resume=None):
    sheet = sheet_of(inputs, *STREAMED, *further)
    Runner(sheet, work_dir=work_dir, resume=resume).train()
    return losses(work_dir)


def test_resumed_it_is_the_run_that_was_never_cut(inputs, tmp_path):
    whole = run(inputs, tmp_path / "whole")
    assert len(whole) == 24
    with pytest.raises(RuntimeError, match="the test's crash"):
        run(inputs, tmp_path / "cut", CRASH)
    assert run(inputs, tmp_path / "cut", resume="auto") == whole


def test_it_trains_on_as_many_tokens_as_were_read_at_once(inputs, tmp_path):
    """48 dialogues are 3 windows; the tokens of whole epochs are those of the packed data set."""
    run(inputs, tmp_path / "streamed")
    log = (tmp_path / "streamed/train.log").read_text()
    assert "epoch 1, rows from 0 on" in log  # it went round
    begun = [line for line in log.splitlines() if "rows from" in line]
    assert len(begun) >= 4
    assert metrics(tmp_path / "streamed")[-1]["tokens"] > 0


def test_without_max_steps_it_is_refused_before_anything_is_loaded(inputs, tmp_path):
    with pytest.raises(ConfigError, match="set max_steps"):
        run(inputs, tmp_path / "endless", "max_steps=None")


def test_its_map_fn_may_move_and_may_not_change(inputs, tmp_path):
    code = "def mine(row):\n    return {'messages': row['messages']}\n"
    files = {"maps.py": code, "edited.py": code.replace("]}", "][:2]}"), "moved/renamed.py": code}
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    began, edited, moved = (f"map_fn={tmp_path / name}:mine" for name in files)
    whole = run(inputs, tmp_path / "whole", began)
    with pytest.raises(RuntimeError, match="the test's crash"):
        run(inputs, tmp_path / "cut", began, CRASH)
    with pytest.raises(CheckpointError, match="other than then: the code of the map_fn or"):
        run(inputs, tmp_path / "cut", edited, resume="auto")
    (tmp_path / "maps.py").unlink()
    assert run(inputs, tmp_path / "cut", moved, resume="auto") == whole
