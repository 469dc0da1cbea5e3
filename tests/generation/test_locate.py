from __future__ import annotations

import json

import pytest

from xtune.errors import AdapterError, UsageError
from xtune.generation.locate import find_adapter, find_model, locate, training_notes


@pytest.fixture
def run(tmp_path):
    """A work_dir as `xtune train` leaves it, 'adapter' or 'model'."""

    def make(kind):
        folder = tmp_path / "run" / "checkpoints" / "step_000004" / kind
        folder.mkdir(parents=True)
        mark = {"adapter": "adapter_config.json", "model": "config.json"}[kind]
        (folder / mark).write_text("{}")
        (folder.parents[1] / "latest").symlink_to("step_000004")
        return tmp_path / "run"

    return make


@pytest.mark.parametrize("inside", ["", "checkpoints/latest", "checkpoints/latest/adapter"])
def test_an_adapter_is_found_from_the_work_dir_down(run, inside):
    found = find_adapter(run("adapter") / inside)
    assert (found / "adapter_config.json").is_file()


@pytest.mark.parametrize("inside", ["", "checkpoints/latest", "checkpoints/latest/model"])
def test_a_model_is_found_from_the_work_dir_down(run, inside):
    assert find_model(str(run("model") / inside)).endswith("model")


def test_other_names_are_left_to_the_loader():
    assert find_model("smollm2") == "smollm2"
    assert find_model("owner/name") == "owner/name"


def named(adapter, notes, config):
    (adapter / "xtune.json").write_text(json.dumps(notes))
    (adapter / "adapter_config.json").write_text(json.dumps(config))
    return adapter


@pytest.mark.parametrize("inside", ["", "checkpoints", "checkpoints/step_000004", "adapter"])
def test_an_adapter_alone_brings_its_model(run, inside):
    work_dir = run("adapter")
    adapter = named(
        work_dir / "checkpoints" / "step_000004" / "adapter",
        {"base_model": "smollm2"},
        {"base_model_name_or_path": "/cache/of/another/machine"},
    )
    given = adapter if inside == "adapter" else work_dir / inside
    for found in (locate(str(given)), locate(None, given)):
        assert (found.model, found.implied) == ("smollm2", True)
        assert found.adapter.resolve() == adapter == found.trained.resolve()


def test_the_model_of_an_adapter_as_it_is_named_or_as_peft_opens_it(run, tmp_path, monkeypatch):
    adapter = run("adapter") / "checkpoints" / "step_000004" / "adapter"
    named(adapter, {}, {"base_model_name_or_path": "owner/name"})  # that another tool wrote
    assert locate(None, adapter).model == "owner/name"
    (tmp_path / "llama").mkdir()
    absolute = str(tmp_path / "llama")
    named(adapter, {"base_model": "llama"}, {"base_model_name_or_path": absolute})
    monkeypatch.chdir(tmp_path / "run")
    assert locate(None, adapter).model == absolute
    (tmp_path / "llama").rmdir()
    with pytest.raises(UsageError, match=r"/llama', which is not there.*: MODEL --adapt"):
        locate(None, adapter)
    assert locate("elsewhere", adapter).model == "elsewhere"
    named(adapter, {}, {})
    with pytest.raises(UsageError, match="does not say what model it is for"):
        locate(None, adapter)


def test_what_cannot_be_meant(run):
    adapter = run("adapter")
    with pytest.raises(UsageError, match="name a MODEL, or an adapter"):
        locate(None)
    with pytest.raises(UsageError, match="name one of them"):
        locate(str(adapter), adapter)
    with pytest.raises(UsageError, match=r"xtune export .*latest.adapter OUT"):
        find_model(str(adapter))


def test_a_run_without_a_checkpoint(tmp_path):
    (tmp_path / "config.py").write_text("")
    with pytest.raises(UsageError, match="has saved no checkpoint yet"):
        locate(str(tmp_path))


def test_latest_may_be_a_file_with_the_name(run):
    work_dir = run("model")
    (work_dir / "checkpoints" / "latest").unlink()
    (work_dir / "checkpoints" / "latest").write_text("step_000004\n")
    assert locate(str(work_dir)).model.endswith("step_000004/model")


def test_a_model_given_as_the_adapter(run):
    with pytest.raises(UsageError, match="holds a whole model"):
        find_adapter(run("model"))


def test_no_such_folder_and_an_empty_one(tmp_path):
    with pytest.raises(UsageError, match="no adapter folder"):
        find_adapter(tmp_path / "nowhere")
    with pytest.raises(UsageError, match=r"holds no adapter_config\.json"):
        find_adapter(tmp_path)


def test_notes(tmp_path):
    assert training_notes(tmp_path) == {}
    (tmp_path / "xtune.json").write_text('{"system": "S"}')
    assert training_notes(tmp_path) == {"system": "S"}
    (tmp_path / "xtune.json").write_text('{"system": ')
    with pytest.raises(AdapterError, match=r"xtune\.json cannot be read"):
        training_notes(tmp_path)
