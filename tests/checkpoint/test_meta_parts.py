"""What meta.json says of a checkpoint's parts, and in which version of the format."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn

from xtune.checkpoint.meta import read_meta, weights_apart, write_meta
from xtune.checkpoint.module import read_module, write_module
from xtune.errors import CheckpointError


@pytest.mark.parametrize(
    ("parts", "version", "apart"),
    [
        ({"llm": "adapter"}, 1, []),
        ({"llm": "model", "score": "weights", "bias": "weights"}, 2, ["bias", "score"]),
    ],
)
def test_only_further_parts_need_a_newer_reader(tmp_path, parts, version, apart):
    write_meta(tmp_path, step=3, parts=parts)
    meta = read_meta(tmp_path)
    assert (meta["format_version"], meta["parts"], meta["step"]) == (version, parts, 3)
    assert weights_apart(tmp_path) == apart


def test_a_checkpoint_of_an_earlier_version_has_none(tmp_path):
    (tmp_path / "meta.json").write_text(json.dumps({"format_version": 1, "files": {}}))
    assert weights_apart(tmp_path) == []


@pytest.mark.parametrize("text", [None, "", "[1]", '{"model": "of another program"}'])
def test_nor_has_a_folder_that_is_none(tmp_path, text):
    if text is not None:
        (tmp_path / "meta.json").write_text(text)
    assert weights_apart(tmp_path) == []


class Shared(nn.Module):
    def __init__(self):
        super().__init__()
        self.one = nn.Linear(2, 3)
        self.other = nn.Linear(2, 3)
        self.other.weight = self.one.weight
        self.register_buffer("seen", torch.tensor(7))


def test_a_module_is_read_back_whole_with_its_buffers(tmp_path):
    module, again = Shared(), Shared()
    write_module(tmp_path / "score", module.state_dict())
    again.seen.zero_()
    read_module(tmp_path / "score", again)
    for name, value in module.state_dict().items():
        assert torch.equal(again.state_dict()[name], value), name
    assert again.other.weight is again.one.weight


@pytest.mark.parametrize("wrong", ["missing", "left over"])
def test_one_weight_more_or_less_is_another_module(tmp_path, wrong):
    weights = nn.Linear(2, 3).state_dict()
    weights.pop("bias") if wrong == "missing" else weights.update(more=torch.ones(1))
    write_module(tmp_path / "score", weights)
    with pytest.raises(CheckpointError, match="has not the weights of this Linear"):
        read_module(tmp_path / "score", nn.Linear(2, 3))


def test_a_file_that_is_none_is_said_by_its_path(tmp_path):
    with pytest.raises(CheckpointError, match=r"score.weights\.safetensors cannot be read"):
        read_module(tmp_path / "score", nn.Linear(2, 3))
