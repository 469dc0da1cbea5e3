"""What holds for every strategy: it has a name, a sharding, and one text for what it refuses."""

from __future__ import annotations

import dataclasses

import pytest
from peft import LoraConfig

from tests.tiny import write_tiny_llama, write_tiny_model
from xtune import registry
from xtune.config.strategies import SHARDINGS, STRATEGY_WORDS
from xtune.engine.strategies.base import Strategy
from xtune.engine.strategies.single import SingleStrategy
from xtune.errors import ConfigError
from xtune.models import SupervisedFinetune, load_model

REGISTERED = registry.names(registry.STRATEGIES)


def under(sharding):
    """A strategy with this sharding: what it refuses is asked before processes meet."""
    strategy = SingleStrategy(precision="fp32", device="cpu")
    strategy.sharding = sharding
    return strategy


def refused_by(model):
    """Name of a strategy -> what it says to this model."""
    said = {}
    for name, sharding in SHARDINGS.items():
        try:
            under(sharding).require_trainable(model)
        except ConfigError as error:
            said[name] = str(error)
    return said


def test_every_registered_strategy_has_a_word_and_a_sharding():
    assert sorted(STRATEGY_WORDS.values()) == REGISTERED
    assert all(issubclass(registry.STRATEGIES.get(name), Strategy) for name in REGISTERED)
    assert {one.type for one in SHARDINGS.values()} == set(REGISTERED)


@pytest.mark.parametrize("name", ["SingleStrategy", "DDPStrategy", "FSDPStrategy"])
def test_a_strategy_that_is_built_names_its_own(name):
    strategy = registry.build(registry.STRATEGIES, {"type": name, "precision": "fp32"})
    assert strategy.sharding in [one for one in SHARDINGS.values() if one.type == name]


def test_what_a_strategy_divides_follows_from_its_sharding():
    found = {name: under(one) for name, one in SHARDINGS.items()}
    divides = {name for name, one in found.items() if one.divides_state}
    assert divides == SHARDINGS.keys() - {"single", "ddp"}
    assert {name for name, one in found.items() if one.shards_model} == {
        *("zero3", "zero3+offload", "fsdp", "fsdp+offload")
    }
    assert under(dataclasses.replace(SHARDINGS["ddp"], divided=frozenset({"weights"}))).shards_model


def test_an_adapter_on_the_head_is_refused_by_zero_3_alone(tmp_path):
    llama = load_model(str(write_tiny_llama(tmp_path / "llama")))
    model = SupervisedFinetune(llama, adapter=LoraConfig(target_modules=["q_proj", "lm_head"]))
    said = refused_by(model)
    assert said.keys() == {"zero3", "zero3+offload"}
    assert said["zero3"].startswith("ZeRO 3 cannot train an adapter on the head: leave the head")


@pytest.mark.parametrize("saved", [None, ["lm_head"]])
def test_a_head_without_one_and_a_whole_head_are_not(saved, tmp_path):
    llama = load_model(str(write_tiny_llama(tmp_path / "llama")))
    adapter = LoraConfig(target_modules=["q_proj"], modules_to_save=saved)
    assert refused_by(SupervisedFinetune(llama, adapter=adapter)) == {}


def test_nor_is_a_model_that_is_trained_whole(tmp_path):
    llama = load_model(str(write_tiny_llama(tmp_path / "whole")))
    assert refused_by(SupervisedFinetune(llama)) == {}


def test_a_family_that_runs_document_by_document(tmp_path):
    write_tiny_model(tmp_path / "gemma2", "gemma2")
    said = refused_by(SupervisedFinetune(load_model(str(tmp_path / "gemma2"))))
    assert said.keys() == {"zero3", "zero3+offload", "fsdp", "fsdp+offload"}
    assert said["fsdp"].startswith(
        "gemma2 is run document by document, and the processes of FSDPStrategy would not"
    )
