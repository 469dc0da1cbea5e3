"""What no strategy can do that takes a model apart."""

from __future__ import annotations

import pytest
from torch import nn

from tests.models.families.case import all_cases
from tests.tiny import write_tiny_llama
from xtune.engine.strategies.sharding import (
    saved_buffers,
    under_all_names,
    with_weights,
)
from xtune.models import SupervisedFinetune, load_model


@pytest.fixture
def llama(tmp_path):
    return load_model(str(write_tiny_llama(tmp_path / "llama")))


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


def test_a_weight_that_stands_under_two_names_is_saved_under_both():
    module = nn.ModuleDict({"one": nn.Linear(2, 3, bias=False), "other": nn.Linear(2, 3)})
    module["other"].weight = module["one"].weight
    once = dict(module.named_parameters())
    assert sorted(once) == ["one.weight", "other.bias"]
    both = under_all_names(module, once)
    assert sorted(both) == sorted(module.state_dict())
    assert both["other.weight"] is both["one.weight"]
