"""What no strategy can do that takes a model apart."""

from __future__ import annotations

import pytest
from peft import LoraConfig

from tests.models.families.case import all_cases
from tests.tiny import write_tiny_llama
from xtune.engine.strategies.sharding import (
    refuse_adapter_on_head,
    saved_buffers,
    with_weights,
)
from xtune.errors import ConfigError
from xtune.models import SupervisedFinetune, load_model


@pytest.fixture
def llama(tmp_path):
    return load_model(str(write_tiny_llama(tmp_path / "llama")))


def test_an_adapter_on_the_head_is_refused(llama):
    model = SupervisedFinetune(llama, adapter=LoraConfig(target_modules=["q_proj", "lm_head"]))
    with pytest.raises(ConfigError, match="ZeRO 3 cannot train an adapter on the head.*modules_to"):
        refuse_adapter_on_head(model, "ZeRO 3")


@pytest.mark.parametrize("saved", [None, ["lm_head"]])
def test_a_head_without_one_and_a_whole_head_are_not(llama, saved):
    adapter = LoraConfig(target_modules=["q_proj"], modules_to_save=saved)
    refuse_adapter_on_head(SupervisedFinetune(llama, adapter=adapter), "ZeRO 3")


def test_nor_is_a_model_that_is_trained_whole(tmp_path):
    model = SupervisedFinetune(load_model(str(write_tiny_llama(tmp_path / "whole"))))
    refuse_adapter_on_head(model, "ZeRO 3")


@pytest.mark.parametrize("case", all_cases(), ids=lambda case: case.name)
def test_a_model_put_together_of_what_is_saved_has_all_of_its_state(case, tmp_path):
    llm = load_model(str(case.write(tmp_path / "published")), device="meta")
    model = SupervisedFinetune(llm).language_model
    parts = dict(model.named_parameters()) | saved_buffers(model)
    whole = with_weights(model, parts)
    shapes = {name: value.shape for name, value in model.state_dict().items()}
    assert {name: value.shape for name, value in whole.state_dict().items()} == shapes
    tied = {name for name, _ in whole.named_parameters()}
    assert tied == {name for name, _ in model.named_parameters()}


def test_one_that_lacks_a_weight_or_has_another_is_not_put_together(llama):
    weights = dict(llama.named_parameters())
    with pytest.raises(RuntimeError, match=r"Unexpected key.*score\.weight"):
        with_weights(llama, weights | {"score.weight": weights["model.norm.weight"]})
    weights.pop("model.norm.weight")
    with pytest.raises(RuntimeError, match=r"Missing key.*model\.norm\.weight"):
        with_weights(llama, weights)
