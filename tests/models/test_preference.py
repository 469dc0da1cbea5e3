"""Preference optimisation by hand: each answer alone, whole logits, float64; and its reference."""

from __future__ import annotations

import math

import pytest
import torch
from peft import LoraConfig

from tests.models.packs import pack, random_documents
from xtune.errors import ConfigError
from xtune.models import PreferenceOptimization, generation_mode, load_model
from xtune.registry import PAIR_LOSSES, build

LENGTHS = [(9, 4), (6, 7), (5, 11), (8, 8)]
LORA = {"r": 4, "target_modules": ["q_proj", "v_proj", "down_proj"]}


def pairs_of(lengths=LENGTHS, seed=0):
    """(ids, labels) of the better and the worse answer of each pair, one after the other."""
    return random_documents([length for pair in lengths for length in pair], seed=seed)


def batch_of(documents):
    batch = pack(documents)
    batch.per_document["side"] = torch.tensor([0, 1] * (len(documents) // 2))
    return batch


def algorithm(folder, loss, *, ref=None, lora=None, **settings):
    torch.manual_seed(0)
    llm = load_model(str(folder), dtype="fp32")
    other = None if ref is None else load_model(str(ref), dtype="fp32")
    made = build(PAIR_LOSSES, {"type": loss} if isinstance(loss, str) else loss)
    adapter = None if lora is None else LoraConfig(**lora, task_type="CAUSAL_LM")
    return PreferenceOptimization(llm, loss=made, ref=other, adapter=adapter, **settings)


def moved(model, by=0.3):
    """The model after some steps: its adapter adds something."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += by * torch.randn(parameter.shape, generator=generator)
    return model


def sums_by_hand(llm, documents):
    """log p of each document's labels, and how many, by all its logits in float64."""
    sums = []
    with generation_mode(llm):
        for ids, labels in documents:
            logits = llm(input_ids=ids[None], use_cache=False).logits[0].double()
            places = (labels != -100).nonzero()[:, 0]
            found = logits[places].log_softmax(-1).gather(1, labels[places, None])
            sums.append((float(found.sum()), max(1, len(places))))
    return sums


def dpo_by_hand(own, ref, beta=0.1):
    losses = []
    for at in range(0, len(own), 2):
        gain, other = own[at][0] - ref[at][0], own[at + 1][0] - ref[at + 1][0]
        losses.append(math.log1p(math.exp(-beta * (gain - other))))
    return sum(losses) / len(losses)


def test_with_an_adapter_the_reference_is_the_model_without_it(tiny_llama):
    documents = pairs_of()
    model = algorithm(tiny_llama, "sigmoid", lora=LORA)
    untouched = load_model(str(tiny_llama), dtype="fp32")
    ref = sums_by_hand(untouched, documents)
    start = model(batch_of(documents), normalizer=4)
    assert start["loss"].item() == pytest.approx(math.log(2), abs=1e-6)
    assert model.first_loss == pytest.approx(math.log(2))
    own = sums_by_hand(moved(model).llm, documents)
    found = model(batch_of(documents), normalizer=4)
    assert found["loss"].item() == pytest.approx(dpo_by_hand(own, ref), rel=1e-5)
    assert found["loss"].item() != pytest.approx(math.log(2), abs=1e-2)
    assert found["logp_chosen"].item() == pytest.approx(sum(s for s, _ in own[::2]) / 4, rel=1e-5)
    gains = [0.1 * (o[0] - r[0]) for o, r in zip(own, ref, strict=True)]
    assert found["reward_chosen"].item() == pytest.approx(sum(gains[::2]) / 4, rel=1e-4)
    assert found["reward_rejected"].item() == pytest.approx(sum(gains[1::2]) / 4, rel=1e-4)
    right = sum(a > b for a, b in zip(gains[::2], gains[1::2], strict=True)) / 4
    assert found["reward_accuracy"].item() == right


def test_with_every_weight_trained_the_reference_is_a_model_of_its_own(tiny_llama, untied_llama):
    documents = pairs_of()
    model = algorithm(tiny_llama, "sigmoid", ref=untied_llama)
    ref = sums_by_hand(load_model(str(untied_llama), dtype="fp32"), documents)
    before = {name: weight.clone() for name, weight in model.ref.named_parameters()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    for _ in range(3):
        own = sums_by_hand(model.llm, documents)
        found = model(batch_of(documents), normalizer=4)
        assert found["loss"].item() == pytest.approx(dpo_by_hand(own, ref), rel=1e-5)
        found["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    for name, weight in model.ref.named_parameters():
        assert torch.equal(weight, before[name])


@pytest.mark.parametrize("loss", ["sigmoid", "ipo", "sppo_hard", "simpo", "orpo", "cpo"])
def test_a_pair_counts_the_same_alone_and_in_a_pack_and_in_any_split(tiny_llama, loss):
    documents = pairs_of()
    model = moved(algorithm(tiny_llama, loss, lora=LORA))

    def step(*batches):
        model.zero_grad()
        outputs = [model(batch, normalizer=4) for batch in batches]
        sum(out["loss"] for out in outputs).backward()
        grads = [p.grad.clone() for p in model.parameters() if p.requires_grad]
        return {name: sum(float(o[name]) for o in outputs) for name in outputs[0]}, grads

    whole, gradients = step(batch_of(documents))
    alone, split = step(*(batch_of(documents[at : at + 2]) for at in range(0, 8, 2)))
    uneven, parts = step(batch_of(documents[:6]), batch_of(documents[6:]))
    assert alone == pytest.approx(whole, rel=1e-4, abs=1e-6)
    assert uneven == pytest.approx(whole, rel=1e-4, abs=1e-6)
    for one, other, third in zip(gradients, split, parts, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(third, one, rtol=1e-3, atol=1e-6)


def test_the_better_answers_own_loss_is_added_by_its_weight(tiny_llama):
    documents = pairs_of()
    plain = algorithm(tiny_llama, "sigmoid", lora=LORA)
    more = algorithm(tiny_llama, "sigmoid", lora=LORA, sft_weight=0.5)
    own = sums_by_hand(plain.llm, documents)[::2]
    per_token = sum(-total / count for total, count in own) / 4
    found = [model(batch_of(documents), normalizer=4)["loss"].item() for model in (plain, more)]
    assert found[1] - found[0] == pytest.approx(0.5 * per_token, rel=1e-5)
    assert more.first_loss is None


def test_no_dropout_acts_in_either_pass(tiny_llama):
    model = algorithm(tiny_llama, "sigmoid", lora={**LORA, "lora_dropout": 0.5})
    model.train()
    batch = batch_of(pairs_of())
    moved(model)
    one, other = (model(batch, normalizer=4)["loss"].item() for _ in range(2))
    assert one == other


def test_after_the_reference_the_adapter_is_trained_as_before(tiny_llama):
    model = algorithm(tiny_llama, "sigmoid", lora=LORA)
    trained = {name for name, p in model.named_parameters() if p.requires_grad}
    model(batch_of(pairs_of()), normalizer=4)["loss"].backward()
    assert {name for name, p in model.named_parameters() if p.requires_grad} == trained
    grads = {name for name, p in model.named_parameters() if p.grad is not None}
    assert grads == trained


def test_nothing_of_a_filler_counts_and_all_gets_a_gradient(tiny_llama):
    model = moved(algorithm(tiny_llama, "sigmoid", lora=LORA))
    batch = batch_of(pairs_of())
    batch.is_filler = True
    found = model(batch, normalizer=4)
    found["loss"].backward()
    assert {name: float(value) for name, value in found.items()} == dict.fromkeys(found, 0.0)
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)
    assert not any(p.grad.any() for p in model.parameters() if p.requires_grad)


def test_a_loss_without_its_reference_is_refused(tiny_llama):
    with pytest.raises(ConfigError, match=r"every weight is trained. Name the model"):
        algorithm(tiny_llama, "sigmoid")
    with pytest.raises(ConfigError, match="the loss SimPO has no reference: leave `ref` out"):
        algorithm(tiny_llama, "simpo", ref=tiny_llama)
    with pytest.raises(ConfigError, match="sft_weight is -1"):
        algorithm(tiny_llama, "simpo", lora=LORA, sft_weight=-1)


def test_an_adapter_that_is_trained_further_is_not_held_against_the_bare_model(tiny_llama):
    adapted = algorithm(tiny_llama, "sigmoid", lora=LORA).llm
    with pytest.raises(ConfigError, match="an adapter is trained further"):
        PreferenceOptimization(adapted, loss=build(PAIR_LOSSES, {"type": "sigmoid"}))
