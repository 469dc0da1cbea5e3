"""The toy algorithm's loss by hand; what is trained and would be in no checkpoint is refused."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig
from torch import nn

from tests.models.packs import pack, random_documents
from tests.models.toy import ScoredPairs
from xtune.errors import ModelError
from xtune.models import ModelPart, generation_mode, load_model
from xtune.models.algorithms.saved import require_saved
from xtune.models.self_test import check_packed_logits

LENGTHS = [9, 4, 6, 7, 5]  # two pairs, and a document too many


def toy(folder, other, **settings):
    torch.manual_seed(0)
    own, ref = (load_model(str(f), dtype="fp32") for f in (folder, other))
    return ScoredPairs(own, ref=ref, **settings)


@pytest.fixture
def model(tiny_llama, untied_llama):
    return toy(tiny_llama, untied_llama)


def by_hand(model, documents):
    """Each document alone, with whole logits in float64: (margins, loss of all pairs)."""
    values = []
    with generation_mode(model.llm), generation_mode(model.ref):
        for ids, labels in documents:
            out = model.llm(input_ids=ids[None], output_hidden_states=True, use_cache=False)
            other = model.ref(input_ids=ids[None], use_cache=False)
            places = (labels != -100).nonzero()[:, 0]
            own, ref = (
                logits[0, places].double().log_softmax(-1).gather(1, labels[places, None]).sum()
                for logits in (out.logits, other.logits)
            )
            hidden = out.hidden_states[-1][0].double()
            score = (hidden @ model.score.weight[0].double() + model.score.bias.double()).sum()
            values.append(own - ref + score)
    pairs = torch.stack(values[: len(values) // 2 * 2]).view(-1, 2)
    margins = model.beta * (pairs[:, 0] - pairs[:, 1])
    return margins, torch.log1p(torch.exp(-margins)).sum()


def test_loss_and_metrics_are_those_worked_out_by_hand(model):
    documents = random_documents(LENGTHS)
    batch = pack(documents)
    assert model.weight(batch) == 2.0
    found = model(batch, normalizer=model.weight(batch))
    margins, loss = by_hand(model, documents)
    assert found["loss"].item() == pytest.approx(loss.item() / 2, rel=1e-5)
    assert found["margin"].item() == pytest.approx(margins.mean().item(), rel=1e-4)
    assert found["accuracy"].item() == (margins > 0).double().mean().item()


def test_any_split_into_micro_batches_gives_the_same_sums_and_gradients(model):
    documents = random_documents(LENGTHS[:4])

    def step(*batches):
        model.zero_grad()
        count = sum(model.weight(batch) for batch in batches)
        outputs = [model(batch, normalizer=count) for batch in batches]
        sum(out["loss"] for out in outputs).backward()
        sums = {name: sum(float(out[name]) for out in outputs) for name in outputs[0]}
        return sums, {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}

    whole, gradients = step(pack(documents))
    parts, others = step(pack(documents[:2]), pack(documents[2:]))
    assert parts == pytest.approx(whole, rel=1e-5)
    assert "score.weight" in gradients
    for name, gradient in gradients.items():
        torch.testing.assert_close(others[name], gradient, rtol=1e-4, atol=1e-6)


def test_an_example_is_of_pairs(model):
    batch = model.example([7, 4], trained=11)
    assert batch.cu_seqlens.tolist() == [0, 4, 7, 9, 11]
    assert model.weight(batch) == 2.0


def test_both_models_are_tested_on_packs_and_all_that_is_trained_is_saved(model):
    check_packed_logits(model)
    require_saved(model)


@pytest.mark.parametrize("adapter", [None, LoraConfig(r=4)], ids=["full", "lora"])
def test_a_trained_module_that_no_part_names_is_refused(tiny_llama, untied_llama, adapter):
    model = toy(tiny_llama, untied_llama, adapter=adapter)
    model.more = nn.Linear(4, 4)
    with pytest.raises(ModelError, match=r"2 weights or buffers, the first is more\.bias"):
        require_saved(model)
    model.more.requires_grad_(False)
    require_saved(model)


def test_so_is_a_frozen_part_that_is_trained_after_all(model):
    model.ref.requires_grad_(True)
    with pytest.raises(ModelError, match=r"the first is ref\.lm_head\.weight.*or freeze it"):
        require_saved(model)


def test_so_is_what_an_algorithm_counts_in_a_buffer_of_its_own(model):
    model.register_buffer("passing", torch.zeros(1), persistent=False)
    require_saved(model)
    model.register_buffer("mean_kl", torch.zeros(1))
    with pytest.raises(ModelError, match=r"1 weights or buffers, the first is mean_kl"):
        require_saved(model)


def test_so_is_what_is_trained_next_to_an_adapter_and_is_not_of_it(tiny_llama, untied_llama):
    model = toy(tiny_llama, untied_llama, adapter=LoraConfig(r=4))
    require_saved(model)
    model.llm.get_base_model().model.norm.weight.requires_grad_(True)
    with pytest.raises(ModelError, match=r"llm\.base_model\.model\.model\.norm\.weight"):
        require_saved(model)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"llm": "weights"}, "saved_as='model'.*here it is none"),
        ({"ref": "model"}, "saved_as='model'.*here it is llm and ref"),
        ({"state": "weights"}, "has a folder 'state' already"),
    ],
)
def test_parts_that_a_checkpoint_cannot_hold_are_refused(model, parts, message):
    model.state = nn.Linear(2, 2)
    known = ScoredPairs.parts(model)
    changed = {name: ModelPart(getattr(model, name), kind) for name, kind in parts.items()}
    model.parts = lambda: known | changed
    with pytest.raises(ModelError, match=message):
        require_saved(model)


def test_what_is_no_part_is_refused_and_how_one_is_saved_is_spelt(model):
    known = ScoredPairs.parts(model)
    model.parts = lambda: known | {"score": model.score}
    with pytest.raises(ModelError, match=r"names a Linear 'score'; each is a ModelPart\(module"):
        require_saved(model)
    with pytest.raises(ModelError, match="saved_as='model', 'weights' or None .*, not 'weight'"):
        ModelPart(model.score, saved_as="weight")


def test_a_part_under_another_name_is_refused(model):
    known = ScoredPairs.parts(model)
    model.parts = lambda: known | {"reward": ModelPart(nn.Linear(2, 2), "weights")}
    with pytest.raises(ModelError, match="its part 'reward' is not the attribute of that name"):
        require_saved(model)
