from __future__ import annotations

import pytest

from xtune.chat.locate import find_adapter, find_model, training_notes
from xtune.errors import AdapterError, UsageError


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


def test_an_adapter_given_as_the_model_says_what_to_type(run):
    with pytest.raises(UsageError, match=r"xtune chat MODEL --adapter .*latest.adapter"):
        find_model(str(run("adapter")))


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
