"""Which names a table answers for, and which the model itself is asked for."""

from __future__ import annotations

import json

import pytest

from xtune.config import render
from xtune.config.adapters import contradictions
from xtune.config.linear_layers import are_linear_layers


def config(folder, **fields):
    (folder / "config.json").write_text(json.dumps(fields))
    return folder / "config.json"


@pytest.mark.parametrize(
    ("targets", "layers", "known"),
    [
        (["q_proj", "down_proj"], None, True),
        (["self_attn.q_proj"], [0, 3], True),
        (["q_proj"], 3, True),
        (["q_proj"], 4, False),  # there are four layers
        (["q_proj"], [0, -1], False),
        (["q_proj"], [True], False),
        (["q_proj", "q_porj"], None, False),
        (["proj"], None, False),  # the end of a word is no name
        (["lm_head"], None, False),  # PEFT has a say: it may be tied
        (["embed_tokens"], None, False),
        (["layers.0.self_attn.q_proj"], None, False),
        ([3], None, False),
        ([], None, False),
    ],
)
def test_of_a_known_kind_of_model(targets, layers, known, tmp_path):
    file = config(tmp_path, model_type="llama", num_hidden_layers=4)
    assert are_linear_layers(targets, layers, file) == known


@pytest.mark.parametrize("fields", [{"model_type": "falcon"}, {}, {"model_type": None}])
def test_an_unknown_kind_of_model_is_asked(fields, tmp_path):
    file = config(tmp_path, num_hidden_layers=4, **fields)
    assert not are_linear_layers(["q_proj"], None, file)


def test_a_broken_config_is_left_to_the_model(tmp_path):
    (tmp_path / "config.json").write_text("[")
    assert not are_linear_layers(["q_proj"], None, tmp_path / "config.json")
    (tmp_path / "config.json").write_text("[]")
    assert not are_linear_layers(["q_proj"], None, tmp_path / "config.json")
    assert not are_linear_layers(["q_proj"], None, tmp_path / "gone.json")


def test_a_misspelt_target_is_named_with_the_nearest():
    options = ["lora.target_modules=['q_proj','v_porj']", "lora.layers_to_transform=[29]"]
    sheet = render("smollm2_135m_lora_toolcall", options)
    ((key, message, hint),) = contradictions(sheet.values)
    assert key == "model.adapter.target_modules"
    assert message == "'v_porj' matches no module of 'smollm2'"
    assert "did you mean 'v_proj'?" in hint


def test_a_layer_that_is_not_there_is_named():
    sheet = render("smollm2_135m_lora_toolcall", ["lora.layers_to_transform=[29,30]"])
    ((key, message, _),) = contradictions(sheet.values)
    assert (key, message) == (
        "model.adapter.layers_to_transform",
        "no target module lies in layer 30",
    )
