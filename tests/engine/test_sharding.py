"""What no strategy can do that takes a model apart."""

from __future__ import annotations

import pytest
from peft import LoraConfig

from tests.tiny import write_tiny_llama
from xtune.engine.strategies.sharding import refuse_adapter_on_head
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
