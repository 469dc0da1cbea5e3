"""Preference optimisation by hand: each answer alone, whole logits, float64; and its reference."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from peft import LoraConfig

from tests.models.packs import pack, random_documents
from tests.parallel.ranks import on_every_rank
from xtune.errors import ConfigError
from xtune.models import PreferenceOptimization, generation_mode, load_model
from xtune.models.algorithms.base import Peers
from xtune.parallel.slices import slice_of
from xtune.registry import PAIR_LOSSES, build, names_alone

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


@pytest.mark.parametrize("loss", names_alone(PAIR_LOSSES))
def test_a_pair_counts_the_same_alone_and_in_a_pack_and_in_any_split(tiny_llama, loss):
    documents = pairs_of()
    model = moved(algorithm(tiny_llama, loss, lora=LORA))
    whole, gradients = step(model, [batch_of(documents)], 4)
    alone, split = step(model, [batch_of(documents[at : at + 2]) for at in range(0, 8, 2)], 4)
    uneven, parts = step(model, [batch_of(documents[:6]), batch_of(documents[6:])], 4)
    assert alone == pytest.approx(whole, rel=1e-4, abs=1e-6)
    assert uneven == pytest.approx(whole, rel=1e-4, abs=1e-6)
    for name, one in gradients.items():
        torch.testing.assert_close(split[name], one, rtol=1e-3, atol=1e-5 * float(one.abs().max()))
        torch.testing.assert_close(parts[name], one, rtol=1e-3, atol=1e-5 * float(one.abs().max()))


def test_the_better_answers_own_loss_is_added_by_its_weight(tiny_llama):
    documents = pairs_of()
    plain = algorithm(tiny_llama, "sigmoid", lora=LORA)
    more = algorithm(tiny_llama, "sigmoid", lora=LORA, sft_weight=0.5)
    own = sums_by_hand(plain.llm, documents)[::2]
    per_token = -sum(total for total, _ in own) / sum(count for _, count in own)
    found = [model(batch_of(documents), normalizer=4)["loss"].item() for model in (plain, more)]
    assert found[1] - found[0] == pytest.approx(0.5 * per_token, rel=1e-5)
    assert more.first_loss is None


def step(model, batches, normalizer):
    """One step's metrics and gradients, surveyed as a run's is."""
    model.zero_grad()
    model.surveyed = model.survey(batches, Peers())
    outputs = [model(batch, normalizer=normalizer) for batch in batches]
    sum(out["loss"] for out in outputs).backward()
    grads = {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}
    return {name: sum(out[name].item() for out in outputs) for name in outputs[0]}, grads


def tokens_by_hand(llm, documents, *, whole=()):
    """(log p, log sum_v p^2) of the labels of each document, float64; `whole`: of all tokens."""
    found = []
    with generation_mode(llm):
        for at, (ids, labels) in enumerate(documents):
            labels = torch.cat([ids[1:], labels[-1:]]) if at in whole else labels
            logits = llm(input_ids=ids[None], use_cache=False).logits[0].double().log_softmax(-1)
            places = (labels != -100).nonzero()[:, 0]
            own = logits[places].gather(1, labels[places, None])[:, 0]
            found.append((own.tolist(), logits[places].exp().square().sum(-1).log().tolist()))
    return found


@pytest.mark.parametrize("on", ["answer", "all"])
def test_the_likelihood_is_a_mean_over_the_tokens_of_all_better_answers(tiny_llama, on):
    """Not the mean of the answers' means: `orpo` and `cpo` as their authors' code has them."""
    documents = pairs_of()
    model = moved(algorithm(tiny_llama, "orpo", lora=LORA, nll_on=on))
    own = sums_by_hand(model.llm, documents)
    chosen = tokens_by_hand(model.llm, documents[::2], whole=range(4) if on == "all" else ())
    every = [value for values, _ in chosen for value in values]
    assert len(every) == (9 + 6 + 5 + 8 - 4 if on == "all" else sum(n for _, n in own[::2]))
    nll = -sum(every) / len(every)

    def log_odds(total, count):
        p = math.exp(total / count)
        return math.log(p / (1 - p))

    odds = [log_odds(*own[at]) - log_odds(*own[at + 1]) for at in range(0, 8, 2)]
    apart = sum(0.1 * math.log1p(math.exp(-o)) for o in odds) / 4
    found, _ = step(model, [batch_of(documents)], 4)
    assert found["nll"] == pytest.approx(nll, rel=1e-5)
    assert found["loss"] == pytest.approx(nll + apart, rel=1e-5)


def test_what_a_papers_method_adds_is_there_unless_it_is_switched_off(tiny_llama):
    settings = {name: algorithm(tiny_llama, name) for name in ("orpo", "cpo", "simpo")}
    found = {name: (model.sft_weight, model.with_prompt) for name, model in settings.items()}
    assert found == {"orpo": (1.0, True), "cpo": (1.0, False), "simpo": (0.0, False)}
    assert algorithm(tiny_llama, "orpo", sft_weight=0.0).sft_weight == 0.0
    assert "nll" not in algorithm(tiny_llama, "simpo")(batch_of(pairs_of()), normalizer=4)


def ranked(lengths, ranks=None, seed=0):
    """Rankings: for each prompt the lengths of its answers."""
    documents = random_documents([n for prompt in lengths for n in prompt], seed=seed)
    batch = pack(documents)
    batch.per_document["side"] = torch.tensor([n for prompt in lengths for n in range(len(prompt))])
    if ranks is not None:
        batch.per_document["rank"] = torch.tensor(ranks)
    return documents, batch


def test_a_ranking_counts_as_one_prompt_with_the_mean_over_all_its_pairs(tiny_llama):
    documents, batch = ranked([[9, 4, 7], [6, 8]], ranks=[0, 1, 1, 0, 1])
    model = algorithm(tiny_llama, "sigmoid", lora=LORA, sft_weight=0.5)
    ref = [total for total, _ in sums_by_hand(model.llm, documents)]
    own = sums_by_hand(moved(model).llm, documents)
    gain = [total - before for (total, _), before in zip(own, ref, strict=True)]

    def dpo(better, worse):
        return math.log1p(math.exp(-0.1 * (gain[better] - gain[worse])))

    # the first prompt's last two answers are equally good
    right = ((dpo(0, 1) + dpo(0, 2)) / 2 + dpo(3, 4)) / 2
    nll = -(own[0][0] + own[3][0]) / (own[0][1] + own[3][1])
    assert model.weight(batch) == 2.0
    found, _ = step(model, [batch], 2)
    assert found["loss"] == pytest.approx(right + 0.5 * nll, rel=1e-5)
    assert found["kl"] == pytest.approx(
        ((2 * gain[0] + gain[1] + gain[2]) / 4 + (gain[3] + gain[4]) / 2) / 2, rel=1e-4
    )


def test_a_prompt_whose_answers_are_all_equally_good_counts_nothing(tiny_llama):
    _, batch = ranked([[9, 4, 7], [6, 8]], ranks=[1, 1, 1, 0, 1])
    _, alone = ranked([[6, 8]])
    model = moved(algorithm(tiny_llama, "sigmoid", lora=LORA, sft_weight=0.5))
    assert model.weight(batch) == 1.0
    _, equal = ranked([[5, 4]], ranks=[0, 0])
    assert model.weight(equal) == 0.0
    found, grads = step(model, [equal], 1)
    assert set(found.values()) == {0.0}
    assert not any(grad.any() for grad in grads.values())


def test_an_uncertain_label_counts_as_it_is_believed(tiny_llama):
    documents = pairs_of()
    model = algorithm(tiny_llama, "sigmoid", lora=LORA)
    ref = sums_by_hand(model.llm, documents)
    own = sums_by_hand(moved(model).llm, documents)
    batch = batch_of(documents)
    batch.per_document["soft_label"] = torch.tensor([1.0, 1, 0.7, 0.7, 0.5, 0.5, 1, 1])
    right = 0.0
    for at, p in zip(range(0, 8, 2), [1, 0.7, 0.5, 1], strict=True):
        u = 0.1 * ((own[at][0] - ref[at][0]) - (own[at + 1][0] - ref[at + 1][0]))
        right += p * math.log1p(math.exp(-u)) + (1 - p) * math.log1p(math.exp(u))
    assert model(batch, normalizer=4)["loss"].item() == pytest.approx(right / 4, rel=1e-5)


def test_ld_dpo_counts_what_is_longer_less_in_policy_and_reference(tiny_llama):
    """An answer of a ranking has another shorter partner in each of its pairs."""
    documents, batch = ranked([[19, 8, 14], [12, 26]])
    model = algorithm(tiny_llama, "sigmoid", lora=LORA, ld_alpha=0.3)
    ref = [values for values, _ in tokens_by_hand(model.llm, documents)]
    start = model(batch, normalizer=2)["loss"].item()
    assert start == pytest.approx(math.log(2), abs=1e-6) == model.first_loss
    own = [values for values, _ in tokens_by_hand(moved(model).llm, documents)]
    assert len({len(values) for values in own}) == 5

    def dpo(better, worse):
        n = min(len(own[better]), len(own[worse]))
        gain = [
            sum(own[i][:n]) + 0.3 * sum(own[i][n:]) - sum(ref[i][:n]) - 0.3 * sum(ref[i][n:])
            for i in (better, worse)
        ]
        return math.log1p(math.exp(-0.1 * (gain[0] - gain[1])))

    right = ((dpo(0, 1) + dpo(0, 2) + dpo(1, 2)) / 3 + dpo(3, 4)) / 2
    assert model(batch, normalizer=2)["loss"].item() == pytest.approx(right, rel=1e-5)
    plain = moved(algorithm(tiny_llama, "sigmoid", lora=LORA))
    assert plain(batch, normalizer=2)["loss"].item() != pytest.approx(right, rel=1e-4)


@pytest.mark.parametrize("lora", [LORA, {**LORA, "target_modules": ["q_proj", "lm_head"]}])
def test_wpo_weighs_a_pair_by_what_the_policy_would_give_it(untied_llama, lora):
    documents = pairs_of()
    model = algorithm(untied_llama, "sigmoid", lora=lora, wpo=True)
    assert model.first_loss is None
    ref = sums_by_hand(model.llm, documents)
    moved(model)
    tokens = tokens_by_hand(model.llm, documents)
    right, weights = 0.0, []
    for at in range(0, 8, 2):
        both = [(sum(p) - sum(q)) / max(1, len(p)) for p, q in tokens[at : at + 2]]
        weights.append(math.exp(sum(both)))
        gain, other = (sum(tokens[i][0]) - ref[i][0] for i in (at, at + 1))
        right += weights[-1] * math.log1p(math.exp(-0.1 * (gain - other)))
    assert max(weights) / min(weights) > 1.5
    found, grads = step(model, [batch_of(documents)], 4)
    assert found["loss"] == pytest.approx(right / 4, rel=1e-4)
    # the weight is no path of the gradient: it is that of the weighted losses with fixed weights
    plain = algorithm(untied_llama, "sigmoid", lora=lora)
    moved(plain)
    parts = []
    for at, weight in zip(range(0, 8, 2), weights, strict=True):
        _, own = step(plain, [batch_of(documents[at : at + 2])], 4)
        parts.append({name: weight * grad for name, grad in own.items()})
    for name, grad in grads.items():
        torch.testing.assert_close(
            grad, sum(part[name] for part in parts), rtol=1e-3, atol=1e-6, msg=name
        )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"loss": "sigmoid", "nll_on": "all"}, "none is added: give sft_weight"),
        ({"loss": "orpo", "nll_on": "prompt"}, "nll_on is 'prompt'; allowed: 'answer', 'all'"),
        ({"loss": "sigmoid", "ld_alpha": 1.5}, "ld_alpha is 1.5; it is from 0 to 1"),
        ({"loss": "ipo", "ld_alpha": 0.5}, "Ipo divides them by the answers' lengths already"),
        ({"loss": "cpo", "precompute_reference": True}, "leave `precompute_reference` out"),
    ],
)
def test_an_option_that_would_change_nothing_is_refused(tiny_llama, settings, said):
    with pytest.raises(ConfigError, match=said):
        algorithm(tiny_llama, settings.pop("loss"), lora=LORA, **settings)


def test_processes_that_share_a_row_have_the_loss_and_gradient_of_one(untied_llama):
    documents, batch = ranked([[9, 14, 4], [16, 7]])
    settings = {"ld_alpha": 0.4, "sft_weight": 0.5, "nll_on": "all", "wpo": True}
    model = moved(algorithm(untied_llama, "sigmoid", lora=LORA, **settings))
    copies = [copy.deepcopy(model) for _ in range(4)]
    counted = model.survey([batch], Peers())

    def shared(group):
        own = copies[group.rank]
        own.surveyed = counted
        outputs = own(slice_of(batch, group), normalizer=2)
        outputs["loss"].backward()
        grads = {n: p.grad for n, p in own.named_parameters() if p.requires_grad}
        return {name: value.item() for name, value in outputs.items()}, grads

    found, parts = zip(*on_every_rank(4, shared), strict=True)
    right, grads = step(model, [batch], 2)
    for name, value in right.items():
        assert sum(one[name] for one in found) == pytest.approx(value, rel=1e-4, abs=1e-6), name
    for name, grad in grads.items():
        torch.testing.assert_close(sum(part[name] for part in parts), grad, rtol=1e-3, atol=1e-6)


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
