"""The contract of algorithms: who knows what one is made of, and what each gets for nothing."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
import torch
from torch import nn

from tests.models.packs import pack, random_documents
from xtune.errors import ModelError
from xtune.models import Algorithm, Backbone, ModelPart, SupervisedFinetune, build_model, load_model
from xtune.registry import MODELS

PACKAGE = Path(__file__).parents[2] / "xtune"
# What they call `.llm` is a plain model's, and no algorithm's
TALKING = {"rewards", "agents", "chat", "cli", "eval", "export", "generation", "serve"}


class Compared(Algorithm):
    """The least that an algorithm can be, with a second model that is not trained."""

    def __init__(self, llm, ref):
        super().__init__()
        self._run = [Backbone(llm), Backbone(ref, frozen=True)]
        self.llm, self.ref = (backbone.model for backbone in self._run)

    def forward(self, batch, *, normalizer):
        own, other = (one.log_probs(batch, chunk_size=7).sum() for one in self._run)
        return {"loss": (other - own) / normalizer}

    def weight(self, batch):
        return float(batch.trained_tokens)

    def parts(self):
        return {"llm": ModelPart(self.llm, "model"), "ref": ModelPart(self.ref, None)}

    def backbones(self):
        return self._run


@pytest.fixture
def compared(tiny_llama, untied_llama):
    return Compared(
        *(load_model(str(folder), dtype="fp32") for folder in (tiny_llama, untied_llama))
    )


def test_only_algorithms_know_what_they_are_made_of():
    knowing = []
    for path in sorted(PACKAGE.rglob("*.py")):
        room = path.relative_to(PACKAGE).parts
        if room[0] in TALKING or room[:2] == ("models", "algorithms"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("llm", "one_row"):
                owner = ast.unparse(node.value)
                if owner not in ("self", "run", "runner"):  # these have an attribute of that name
                    knowing.append(f"{path}:{node.lineno}: {owner}.{node.attr}")
    assert knowing == []


def test_what_the_scan_looks_for_is_there():
    text = (PACKAGE / "models/algorithms/sft.py").read_text(encoding="utf-8")
    assert "self.llm" in text


def test_a_frozen_part_has_no_gradient_and_stays_in_evaluation_mode(compared):
    assert [part.is_trained for part in compared.parts().values()] == [True, False]
    assert compared.training
    assert compared.llm.training
    assert not compared.ref.training
    compared.eval()
    assert compared.train() is compared
    assert (compared.llm.training, compared.ref.training) == (True, False)
    compared(pack(random_documents([4, 3])), normalizer=5.0)["loss"].backward()
    assert all(p.grad is not None for p in compared.llm.parameters())
    assert all(p.grad is None for p in compared.ref.parameters())


def test_the_model_that_comes_out_is_the_part_that_is_saved_as_one(compared):
    assert compared.language_model is compared.llm


def test_what_it_counts_is_its_own_to_say(tiny_llama):
    batch = pack(random_documents([4, 3]))
    model = SupervisedFinetune(load_model(str(tiny_llama)))
    assert model.weight(batch) == batch.trained_tokens == batch.trained_weight


def test_an_example_has_the_documents_and_labels_that_are_asked_for(compared):
    batch = compared.example([3, 2], trained=4)
    assert batch.input_ids.tolist() == [[0, 0, 0, 1, 1]]  # neighbours have nothing to share
    assert batch.position_ids.tolist() == [[0, 1, 2, 0, 1]]
    assert batch.labels.tolist() == [[0, 0, 0, 0, -100]]
    assert batch.cu_seqlens.tolist() == [0, 3, 5]
    assert batch.cu_seqlens.dtype == torch.int32
    assert batch.max_seqlen == 3


def test_an_example_of_nothing_trained_has_a_label_all_the_same(compared):
    assert compared.example([3], trained=0).trained_tokens == 1


@pytest.mark.parametrize("lacking", ["forward", "weight", "parts", "backbones"])
def test_an_algorithm_without_one_of_the_four_cannot_be_made(lacking):
    methods = {name: vars(Compared)[name] for name in ("forward", "weight", "parts", "backbones")}
    methods.pop(lacking)
    with pytest.raises(TypeError, match=f"abstract method '?{lacking}"):
        type("Lacking", (Algorithm,), methods)()


def test_what_is_no_algorithm_is_refused(tiny_llama, monkeypatch):
    class Plain(nn.Module):
        def __init__(self, llm, adapter=None):
            super().__init__()

    monkeypatch.setitem(MODELS.module_dict, "Plain", Plain)
    llm = {"type": "CausalLM", "pretrained_model_name_or_path": str(tiny_llama)}
    with pytest.raises(ModelError, match="'Plain' makes a Plain, .* xtune.models.Algorithm"):
        build_model({"type": "Plain", "llm": llm})


def test_every_model_of_an_algorithm_is_tested_on_packed_documents(compared):
    from xtune.models.self_test import check_packed_logits

    check_packed_logits(compared)
    seen = Backbone.hidden_states
    second = compared.backbones()[1]
    second.hidden_states = lambda batch: seen(second, batch).flip(1)
    with pytest.raises(ModelError, match="'llama' does not give the same logits on packed"):
        check_packed_logits(compared)
