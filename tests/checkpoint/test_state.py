"""State goes to disk and comes back equal, bit for bit, with nothing pickled."""

import json

import pytest
import torch

from xtune.checkpoint.state import load_state, save_state, state_bytes
from xtune.errors import CheckpointError


def test_nested_state_comes_back_equal(tmp_path):
    state = {
        "step": 3,
        "best": None,
        "pi": 0.1 + 0.2,
        "rng": [torch.arange(5, dtype=torch.uint8), (3, [1, 2])],
        "optimizer": {"a.b/c": {"exp_avg": torch.randn(3, 2), "step": torch.tensor(7.0)}},
        "bf16": torch.randn(4).to(torch.bfloat16),
        "transposed": torch.randn(2, 3).T,
        "empty": {},
    }
    save_state(tmp_path / "state", state)
    loaded = load_state(tmp_path / "state")
    assert loaded["pi"] == 0.1 + 0.2
    assert (loaded["step"], loaded["best"], loaded["empty"]) == (3, None, {})
    assert loaded["rng"][1] == [3, [1, 2]]
    for path in (
        lambda s: s["rng"][0],
        lambda s: s["optimizer"]["a.b/c"]["exp_avg"],
        lambda s: s["optimizer"]["a.b/c"]["step"],
        lambda s: s["bf16"],
        lambda s: s["transposed"],
    ):
        assert path(loaded).dtype == path(state).dtype
        assert torch.equal(path(loaded), path(state))


def test_a_tensor_that_stands_in_two_places_is_written_once_and_stays_one(tmp_path):
    shared = torch.arange(256.0)
    save_state(tmp_path / "state", {"a": {"qmap": shared}, "b": {"qmap": shared}})
    loaded = load_state(tmp_path / "state")
    assert loaded["a"]["qmap"] is loaded["b"]["qmap"]
    assert torch.equal(loaded["a"]["qmap"], shared)


def test_only_safetensors_and_json_are_written(tmp_path):
    save_state(tmp_path / "state", {"w": torch.zeros(2), "x": 1})
    assert sorted(path.name for path in (tmp_path / "state").iterdir()) == [
        "state.json",
        "tensors.safetensors",
    ]
    assert json.loads((tmp_path / "state" / "state.json").read_text()) == {
        "w": {"$tensor": "w"},
        "x": 1,
    }


def test_bytes_are_counted():
    assert (
        state_bytes({"a": torch.zeros(3), "b": [torch.zeros(2, dtype=torch.int64)], "c": 1}) == 28
    )


def test_a_key_that_json_would_change_is_refused(tmp_path):
    with pytest.raises(TypeError, match="keys are strings, not 0"):
        save_state(tmp_path / "state", {"optimizer": {0: torch.zeros(1)}})


def test_a_folder_that_is_no_state(tmp_path):
    with pytest.raises(CheckpointError, match="not the state of a run"):
        load_state(tmp_path)
