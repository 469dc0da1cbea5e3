"""A GPTQ checkpoint all the way: trained, resumed, asked, merged at export."""

from __future__ import annotations

import dataclasses
import json
import shutil

import pytest
import torch

from tests.packed_checkpoint import write_packed
from tests.runs import losses, train
from tests.tiny import write_tiny_llama
from xtune.export.merge import export_model
from xtune.generation.locate import locate, training_notes
from xtune.generation.model import ChatModel
from xtune.models import load_model
from xtune.models.packed.linear import PackedLinear


@pytest.fixture(scope="module")
def given(inputs, tmp_path_factory):
    place = tmp_path_factory.mktemp("packed")
    write_tiny_llama(place / "plain")
    write_packed(place / "gptq", place / "plain", "gptq", act_order=True)
    return dataclasses.replace(inputs, model=place / "gptq")


@pytest.fixture(scope="module")
def run(given, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed") / "run"
    train(given, folder, "max_steps=10")
    return folder


def test_it_learns_and_goes_on_as_if_never_stopped(run, given, tmp_path):
    whole = losses(run)
    assert whole[-1][1] < whole[0][1] - 0.5
    again = tmp_path / "again"
    shutil.copytree(run, again, symlinks=True)
    shutil.rmtree(again / "checkpoints/step_000010")
    (again / "checkpoints/latest").unlink()
    (again / "checkpoints/latest").symlink_to("step_000005")
    train(given, again, "max_steps=10", resume="auto")
    assert losses(again)[-5:] == whole[-5:]


def test_chat_asks_it_packed(run):
    model = ChatModel.load(str(run))
    packed = [one for one in model.llm.modules() if isinstance(one, PackedLinear)]
    assert len(packed) == 14
    assert model.chat("have miles").message["content"]


def test_an_export_is_the_plain_model_with_the_adapter_in_it(run, tmp_path):
    found = locate(str(run))
    written = export_model(
        found.model,
        tmp_path / "out",
        adapter=found.adapter,
        notes=training_notes(found.trained),
        dtype="fp32",
    )
    assert written.outcome is not None
    assert written.difference < 1e-4
    llm = load_model(str(tmp_path / "out"), dtype="fp32")
    assert not any(isinstance(one, PackedLinear) for one in llm.modules())
    assert llm.model.layers[0].mlp.up_proj.weight.dtype == torch.float32
    assert "quantization_config" not in json.loads((tmp_path / "out/config.json").read_text())
