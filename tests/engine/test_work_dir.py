"""The rules of a work_dir: what is refused, what is moved aside, where a resumed run goes on."""

import json
import logging
import threading

import pytest

from tests.runs import losses, sheet_of, train
from xtune.checkpoint.folder import list_checkpoints, save_checkpoint
from xtune.engine.work_dir import AUTO, WorkDir
from xtune.errors import CheckpointError, ConfigError, UsageError


def _checkpoint(work_dir, *steps):
    def write(folder):
        (folder / "file").write_text("x")

    for step in steps:
        save_checkpoint(work_dir / "checkpoints", step, write=write, bytes_needed=1)


@pytest.fixture
def left(inputs, tmp_path):
    """A work_dir with what a run of the small config has left after step 10."""
    sheet = sheet_of(inputs)
    folder = WorkDir(tmp_path / "run", sheet)
    folder.open(None)
    folder.close()
    _checkpoint(folder.path, 5, 10)
    (folder.path / "metrics.jsonl").write_text('{"step": 1}\n')
    return folder


def _previous(work_dir):
    (found,) = (work_dir / "previous").iterdir()
    return {path.relative_to(found).as_posix() for path in found.rglob("*") if path.is_file()}


def test_the_sheet_is_recorded_byte_for_byte(left):
    assert left.config.read_bytes() == left.sheet.text.encode()


def test_the_same_sheet_again_moves_the_earlier_run_aside(left, caplog):
    assert left.open(None) is None
    left.close()
    assert {"config.py", "metrics.jsonl", "checkpoints/step_000010/file"} <= _previous(left.path)
    assert list_checkpoints(left.checkpoints) == []
    assert "moved checkpoints, config.py, metrics.jsonl of an earlier run to" in caplog.text


def test_another_sheet_is_refused_with_what_differs(inputs, left):
    other = WorkDir(left.path, sheet_of(inputs, "lora.r=2", "lr=3e-3"))
    with pytest.raises(ConfigError, match=r"another config; .*lora\.r.*optimizer\.lr.*--work-dir"):
        other.open(None)
    assert [step for step, _ in list_checkpoints(left.checkpoints)] == [5, 10]
    assert left.config.read_text() == left.sheet.text


def test_another_sheet_may_start_where_there_are_only_logs(inputs, tmp_path):
    (tmp_path / "metrics.jsonl").write_text("old\n")
    folder = WorkDir(tmp_path, sheet_of(inputs))
    assert folder.open(None) is None
    folder.close()
    assert _previous(tmp_path) == {"metrics.jsonl"}


def test_resuming_finds_the_newest(left):
    assert left.open(AUTO) == (left.checkpoints / "step_000010").resolve()
    left.close()
    assert not (left.path / "previous").exists()


def test_resuming_past_a_damaged_one_moves_it_aside(left, caplog):
    (left.checkpoints / "step_000010" / "file").write_text("spoilt")
    found = left.open(AUTO)
    assert found == (left.checkpoints / "step_000005").resolve()
    left.record(found)
    left.close()
    assert "skipping a damaged checkpoint" in caplog.text
    assert "checkpoints/step_000010/file" in _previous(left.path)


def test_resuming_an_older_step_by_name_moves_the_later_ones_aside(left):
    older = left.checkpoints / "step_000005"
    assert left.open(str(older)) == older.resolve()
    # It may still be refused, for other data: until then all is as it was
    assert [step for step, _ in list_checkpoints(left.checkpoints)] == [5, 10]
    left.record(older.resolve())
    left.close()
    assert [step for step, _ in list_checkpoints(left.checkpoints)] == [5]
    assert "checkpoints/step_000010/file" in _previous(left.path)


def test_resuming_where_nothing_is_starts_with_a_notice(inputs, tmp_path, caplog):
    folder = WorkDir(tmp_path, sheet_of(inputs))
    assert folder.open(AUTO) is None
    folder.close()
    assert "--resume: there is no checkpoint in" in caplog.text


def test_resuming_from_another_work_dir(inputs, left, tmp_path):
    folder = WorkDir(tmp_path / "new", left.sheet)
    assert folder.open(str(left.path)) == (left.checkpoints / "step_000010").resolve()
    folder.close()


def test_what_resume_cannot_find(left, tmp_path):
    with pytest.raises(UsageError, match="no folder"):
        left.open(str(tmp_path / "none"))
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckpointError, match="there is no checkpoint in"):
        left.open(str(tmp_path / "empty"))
    damaged = left.checkpoints / "step_000010"
    (damaged / "meta.json").unlink()
    with pytest.raises(CheckpointError, match=r"is damaged \(meta.json is missing\)"):
        left.open(str(damaged))


def test_resuming_with_other_logging_is_allowed_with_a_notice(inputs, left, caplog):
    folder = WorkDir(left.path, sheet_of(inputs, "save_steps=7"))
    with caplog.at_level(logging.WARNING, "xtune"):
        folder.record(folder.open(AUTO))
    folder.close()
    assert "other values of default_hooks.checkpoint.interval than before" in caplog.text
    assert _previous(left.path) == {"config.py"}  # the sheet of the first half is kept


@pytest.mark.parametrize("change", ["gradient_checkpointing=True", "model.activation_offload=True"])
def test_a_run_that_ran_out_of_memory_goes_on_with_less(inputs, left, change):
    folder = WorkDir(left.path, sheet_of(inputs, change))
    assert folder.open(AUTO) is not None
    folder.close()


@pytest.mark.parametrize("change", ["lora.r=2", "seed=1", "max_length=64"])
def test_resuming_with_another_model_or_order_is_refused(inputs, left, change):
    folder = WorkDir(left.path, sheet_of(inputs, change))
    with pytest.raises(ConfigError, match="would not fit"):
        folder.open(AUTO)


def test_two_runs_at_once_are_refused(inputs, left):
    left.open(AUTO)
    errors = []

    def second():
        try:
            WorkDir(left.path, left.sheet).open(AUTO)
        except UsageError as error:
            errors.append(str(error))

    thread = threading.Thread(target=second)
    thread.start()
    thread.join()
    left.close()
    assert "another run is writing" in errors[0]


def test_a_work_dir_that_is_a_file(inputs, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot be made"):
        WorkDir(tmp_path / "file", sheet_of(inputs)).open(None)
    for path in ("file", "file/below"):
        with pytest.raises(UsageError, match="cannot be made .*file is a file"):
            WorkDir(tmp_path / path, sheet_of(inputs)).require_makeable()
    WorkDir(tmp_path / "new/below", sheet_of(inputs)).require_makeable()
    assert not (tmp_path / "new").exists()


def test_resuming_on_other_data_is_refused(inputs, tmp_path):
    train(inputs, tmp_path / "run", "max_steps=1")
    rows = inputs.data.read_text().splitlines(keepends=True)
    changed = tmp_path / "data.jsonl"
    changed.write_text("".join(rows))
    first = f"data_path={changed}"
    train(inputs, tmp_path / "own", "max_steps=1", first)
    changed.write_text("".join(rows[:-3]))
    with pytest.raises(CheckpointError, match="the data are not those"):
        train(inputs, tmp_path / "own", "max_steps=1", first, resume=AUTO)


def test_a_full_disk_ends_the_run_and_what_was_saved_goes_on(inputs, tmp_path):
    limit = "default_hooks.tensorboard={'type': 'tests/integration/crash.py:FullDiskAt', 'step': 8}"
    with pytest.raises(CheckpointError, match="the disk is full"):
        train(inputs, tmp_path / "full", "max_steps=12", limit)
    assert [step for step, _ in list_checkpoints(tmp_path / "full" / "checkpoints")] == [5]
    train(inputs, tmp_path / "full", "max_steps=12", resume=AUTO)
    train(inputs, tmp_path / "whole", "max_steps=12")
    assert losses(tmp_path / "full") == losses(tmp_path / "whole")


def test_metrics_that_were_cut_off_are_mended(inputs, tmp_path):
    train(inputs, tmp_path, "max_steps=6")
    (tmp_path / "checkpoints" / "step_000006" / "meta.json").unlink()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "lo')
    before = losses_of_whole_lines(tmp_path)
    train(inputs, tmp_path, "max_steps=6", resume=AUTO)
    assert losses(tmp_path) == before


def losses_of_whole_lines(work_dir):
    lines = (work_dir / "metrics.jsonl").read_text().splitlines()[:-1]
    return [(row["step"], row["loss"]) for row in map(json.loads, lines)]


def test_a_run_of_an_earlier_version_whose_sheet_lacks_newer_keys_goes_on(inputs, left, caplog):
    text = left.sheet.text
    older = text
    for new, old in (
        ("    adapter_folder=adapter,\n", ""),
        ("adapter = None\n", ""),
        ("    algorithm,\n", "    type='SupervisedFinetune',\n"),
        ("algorithm = dict(type='SupervisedFinetune')  # or with any argument of it\n", ""),
        ("dtype='auto',\n        quantization=quantization)", "dtype='auto')"),
        ("quantization = None  # of frozen weights, under an adapter: dict(bits=4)\n", ""),
    ):
        assert new in older
        older = older.replace(new, old)
    left.config.write_text(older)
    with caplog.at_level(logging.WARNING, "xtune"):
        assert left.check(AUTO) == (left.checkpoints / "step_000010").resolve()
        assert left.check(None) is None
    assert "other values" not in caplog.text
    other = WorkDir(left.path, sheet_of(inputs, "lora.r=2"))
    with pytest.raises(ConfigError, match=r"other values of (lora\.r, )?model\.adapter\.r: its"):
        other.check(AUTO)
