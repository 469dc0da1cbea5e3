"""A run whose folders have moved goes on; one whose contents have changed does not."""

import json
import logging
import shutil

import pytest
import torch
from safetensors.torch import save_file

from tests.runs import Inputs, losses, sheet_of, train
from tests.tiny import write_tiny_llama, write_tiny_tokenizer
from xtune.checkpoint.meta import write_meta
from xtune.cli.entry import main
from xtune.config import render
from xtune.engine.dry_run import make_plan
from xtune.engine.identity import base_digest, vocabulary_digest
from xtune.engine.places import is_place
from xtune.engine.runner import Runner
from xtune.engine.work_dir import AUTO, WorkDir
from xtune.errors import CheckpointError, ConfigError
from xtune.models import load_tokenizer

STEPS = ["max_steps=8", "save_steps=4"]


@pytest.fixture(scope="module")
def whole(inputs, tmp_path_factory):
    """A run of 8 steps, never stopped, on files of its own."""
    place = tmp_path_factory.mktemp("whole")
    own = Inputs(place / "llama", place / "data.jsonl", place / "val.jsonl")
    shutil.copytree(inputs.model, own.model)
    shutil.copyfile(inputs.data, own.data)
    shutil.copyfile(inputs.val, own.val)
    train(own, place / "run", *STEPS)
    return place


@pytest.fixture
def moved(whole, tmp_path):
    """The run as it was after step 4, all under other names; nothing lies where it was."""
    shutil.copytree(whole / "llama", tmp_path / "models" / "renamed")
    shutil.copyfile(whole / "data.jsonl", tmp_path / "rows.jsonl")
    run = tmp_path / "elsewhere"
    shutil.copytree(whole / "run", run, symlinks=True)
    shutil.rmtree(run / "checkpoints" / "step_000008")
    text = (run / "config.py").read_text().replace(str(whole), str(tmp_path / "gone"))
    (run / "config.py").write_text(text)
    lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    (run / "metrics.jsonl").write_text("".join(lines[:4]))
    return run


def options(moved):
    return [
        f"pretrained_model_name_or_path={moved.parent / 'models' / 'renamed'}",
        f"data_path={moved.parent / 'rows.jsonl'}",
    ]


def test_with_the_new_places_the_losses_are_those_of_a_run_never_moved(moved, whole, caplog):
    sheet = render(moved / "config.py", options(moved))
    with caplog.at_level(logging.WARNING, "xtune"):
        Runner(sheet, work_dir=moved, resume=AUTO).train()
    assert "other values of model.llm.pretrained_model_name_or_path" in caplog.text
    assert losses(moved) == losses(whole / "run")


def test_what_an_earlier_version_has_saved_goes_on_too(moved, whole):
    """It recorded neither the base's digest nor the vocabulary's, nor other endings."""
    step = moved / "checkpoints" / "step_000004"
    state = json.loads((step / "state" / "state.json").read_text())
    assert state["base"] == base_digest(str(whole / "llama"))
    assert state["vocabulary"] == vocabulary_digest(load_tokenizer(str(whole / "llama")))
    del state["base"], state["vocabulary"]
    older = moved.parent / "older" / "checkpoints" / "step_000004"
    shutil.copytree(step, older)
    shutil.copyfile(moved / "config.py", older.parent.parent / "config.py")
    (older / "state" / "state.json").write_text(json.dumps(state))
    (older / "adapter" / "generation_config.json").unlink()
    (older / "meta.json").unlink()
    write_meta(older, step=4)
    sheet = render(moved / "config.py", options(moved))
    Runner(sheet, work_dir=moved.parent / "new", resume=str(older)).train()
    assert losses(moved.parent / "new") == losses(whole / "run")[4:]


def test_without_them_the_options_to_give_are_named(moved):
    gone = moved.parent / "gone"
    expected = (
        rf"pretrained_model_name_or_path is '{gone}/llama', data_path is '{gone}/data.jsonl': "
        r"nothing is there.*--cfg-options pretrained_model_name_or_path=NEW_PLACE "
        r"data_path=NEW_PLACE"
    )
    with pytest.raises(ConfigError, match=expected):
        WorkDir(moved, render(moved / "config.py")).check(AUTO)


def test_the_command_line_says_so_before_anything_else(moved, capsys, monkeypatch):
    monkeypatch.chdir(moved.parent)
    text = (moved / "config.py").read_text()
    (moved / "config.py").write_text(text.replace(f"{moved.parent / 'gone'}/", ""))
    words = ["train", str(moved / "config.py"), "--work-dir", str(moved), "--resume"]
    assert main(words) == 2
    said = capsys.readouterr().err
    assert "pretrained_model_name_or_path is 'llama', data_path is 'data.jsonl'" in said
    assert "--cfg-options pretrained_model_name_or_path=NEW_PLACE data_path=NEW_PLACE" in said


def test_other_contents_are_refused_before_the_model_is_loaded(moved):
    rows = moved.parent / "rows.jsonl"
    lines = rows.read_text().splitlines(keepends=True)
    rows.write_text("".join(lines[:-3]))
    sheet = render(moved / "config.py", options(moved))
    with pytest.raises(CheckpointError, match="the data are not those"):
        Runner(sheet, work_dir=moved, resume=AUTO).train()
    with pytest.raises(CheckpointError, match="the data are not those"):
        make_plan(sheet, moved, resume=AUTO)
    rows.write_text("".join(lines))
    model = moved.parent / "models" / "renamed"
    write_tiny_llama(model, seed=7)
    with pytest.raises(CheckpointError, match=r"the weights of .*renamed' are not those"):
        Runner(sheet, work_dir=moved, resume=AUTO).train()


def test_other_weights_under_the_old_name_are_refused(inputs, tmp_path):
    model = tmp_path / "llama"
    shutil.copytree(inputs.model, model)
    own = Inputs(model, inputs.data, inputs.val)
    train(own, tmp_path / "run", "max_steps=1")
    write_tiny_llama(model, seed=7)
    with pytest.raises(CheckpointError, match="the weights of"):
        train(own, tmp_path / "run", "max_steps=1", resume=AUTO)


def test_a_start_where_only_places_differ_is_told_to_resume(moved):
    sheet = render(moved / "config.py", options(moved))
    with pytest.raises(ConfigError, match=r"go on with --resume, if they hold what was there"):
        WorkDir(moved, sheet).check(None)
    other = render(moved / "config.py", [*options(moved), "lora.r=2"])
    with pytest.raises(ConfigError, match=r"go on with that run: xtune train"):
        WorkDir(moved, other).check(None)
    with pytest.raises(
        ConfigError, match=r"other values of lora\.r, model\.adapter\.r: its|r: its"
    ):
        WorkDir(moved, other).check(AUTO)


@pytest.mark.parametrize(
    ("key", "before", "now", "expected"),
    [
        ("tokenizer.pretrained_model_name_or_path", "a", "b", True),
        ("train_dataset.data_path", "a.jsonl", ["b.jsonl"], True),
        ("train_dataset.data_path.0.data_path.path", "a.jsonl", "b.jsonl", True),
        ("train_dataset.template", "a.py:mine", "b/a.py:mine", True),
        ("train_dataset.template", "a.py:mine", "a.py:other", False),
        ("train_dataset.max_length", 128, 64, False),
        ("model.adapter", None, ..., False),
    ],
)
def test_what_is_a_place(key, before, now, expected):
    assert is_place(key, before, now) is expected


def test_the_digest_of_a_base_is_of_its_weights_not_of_their_names(inputs, tmp_path):
    assert base_digest("owner/not-on-this-disk") is None
    assert base_digest(str(write_tiny_tokenizer(tmp_path / "empty"))) is None
    copy = tmp_path / "copy"
    shutil.copytree(inputs.model, copy)
    (copy / "model.safetensors").rename(copy / "other.safetensors")
    assert base_digest(str(copy)) == base_digest(str(inputs.model))
    shutil.copytree(inputs.model, tmp_path / "twice")
    (tmp_path / "twice" / "consolidated.safetensors").write_bytes(b"the same in another form")
    assert base_digest(str(tmp_path / "twice")) == base_digest(str(inputs.model))
    weights = {"a": torch.zeros(9), "b": torch.ones(9)}
    for name, key in (("model-1", "a"), ("model-2", "b"), ("consolidated", "b")):
        (tmp_path / "parts").mkdir(exist_ok=True)
        save_file({key: weights[key]}, tmp_path / "parts" / f"{name}.safetensors")
    both = base_digest(str(tmp_path / "parts"))
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    (tmp_path / "parts" / "model.safetensors.index.json").write_text(json.dumps(index))
    assert base_digest(str(tmp_path / "parts")) not in (None, both)
    assert base_digest(str(write_tiny_llama(tmp_path / "b", seed=1))) != base_digest(str(copy))


def test_a_whole_model_that_is_trained_needs_no_base(inputs, tmp_path):
    sheet = sheet_of(inputs, "max_steps=2", "save_steps=1", config="custom_sft_full")
    Runner(sheet, work_dir=tmp_path / "run").train()
    state = tmp_path / "run/checkpoints/step_000001/state/state.json"
    assert json.loads(state.read_text())["base"] is None
    moved = tmp_path / "tokenizer_alone"
    shutil.copytree(inputs.model, moved)
    write_tiny_llama(moved, seed=7)  # its weights are in the checkpoint
    sheet = sheet_of(
        Inputs(moved, inputs.data, inputs.val),
        *("max_steps=2", "save_steps=1"),
        config="custom_sft_full",
    )
    again = tmp_path / "again"
    Runner(sheet, work_dir=again, resume=str(state.parents[1])).train()
    assert losses(again) == losses(tmp_path / "run")[1:]
