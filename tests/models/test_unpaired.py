"""KTO by hand: each answer alone, whole logits, float64; z on prompts with others' answers."""

from __future__ import annotations

import copy
import hashlib
import math
import threading

import numpy as np
import pytest
import torch
from peft import LoraConfig

from tests.models.packs import documents_of, pack, random_documents
from tests.models.test_preference import LORA, moved, step, sums_by_hand
from xtune.data.collate import filler
from xtune.errors import ConfigError
from xtune.models import UnpairedPreferenceOptimization, load_model
from xtune.models.algorithms.base import Peers
from xtune.models.algorithms.mismatched import mismatched_batches
from xtune.parallel.sequence import SequenceGroup
from xtune.parallel.world import World
from xtune.registry import UNPAIRED_LOSSES, build

LENGTHS = [9, 14, 6, 11, 8, 17, 5, 10]
GOOD = [1, 0, 0, 1, 1, 0, 1, 0]


def judged(lengths=LENGTHS, seed=0):
    """Documents whose answers begin at a third of their length, and have a gap."""
    documents = random_documents(lengths, trained=1.0, seed=seed)
    for ids, labels in documents:
        labels[: len(ids) // 3] = -100
        labels[-3] = -100
    return documents


def batch_of(documents, good):
    batch = pack(documents)
    batch.per_document["desirable"] = torch.tensor(good)
    return batch


def split(size, documents=None, good=GOOD):
    documents = documents or judged()
    return [
        batch_of(documents[at : at + size], good[at : at + size])
        for at in range(0, len(documents), size)
    ]


def algorithm(folder, loss="kto", *, ref=None, lora=LORA, **settings):
    torch.manual_seed(0)
    llm = load_model(str(folder), dtype="fp32")
    made = build(UNPAIRED_LOSSES, {"type": loss} if isinstance(loss, str) else loss)
    adapter = None if lora is None else LoraConfig(**lora, task_type="CAUSAL_LM")
    other = None if ref is None else load_model(str(ref), dtype="fp32")
    return UnpairedPreferenceOptimization(llm, loss=made, ref=other, adapter=adapter, **settings)


def mismatched_by_hand(documents):
    """Each prompt with the answer before it, in the order of their contents' hashes."""

    def parts(document):
        ids, labels = (tensor.numpy() for tensor in document)
        first = int(np.flatnonzero(labels != -100)[0]) + 1
        return ids[:first], ids[first:], labels[first - 1 : -1]

    def place(document):
        text = b"|".join(part.astype(np.int64).tobytes() for part in parts(document))
        return hashlib.sha256(text).digest()

    order = sorted(documents, key=place)
    longest = max(len(ids) for ids, _ in documents)
    made = []
    for at, document in enumerate(order):
        prompt = parts(document)[0]
        _, answer, labels = parts(order[at - 1])
        answer = answer[: longest - len(prompt)]
        silent = [-100] * (len(prompt) - 1)
        shifted = [*silent, *labels[: len(answer)].tolist(), -100]
        made.append((torch.tensor([*prompt, *answer]), torch.tensor(shifted)))
    return made


def kto_by_hand(model, documents, good, beta=0.1, up=1.0, down=1.0):
    with model.llm.disable_adapter():
        ref = [total for total, _ in sums_by_hand(model.llm, documents)]
        other = [total for total, _ in sums_by_hand(model.llm, mismatched_by_hand(documents))]
    own = [total for total, _ in sums_by_hand(model.llm, documents)]
    away = [total for total, _ in sums_by_hand(model.llm, mismatched_by_hand(documents))]
    z = max(0.0, sum(a - b for a, b in zip(away, other, strict=True)) / len(documents))
    gains = [a - b for a, b in zip(own, ref, strict=True)]

    def s(x):
        return 1 / (1 + math.exp(-x))

    losses = [
        up * (1 - s(beta * (r - z))) if kind else down * (1 - s(beta * (z - r)))
        for r, kind in zip(gains, good, strict=True)
    ]
    return sum(losses) / len(losses), z, gains


@pytest.fixture(scope="module")
def further(tiny_llama):
    """A policy that has gone so far from its reference that z is above 0."""
    model = moved(algorithm(tiny_llama), by=0.05)
    batch = pack(mismatched_by_hand(judged()))
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=1e-2)
    for _ in range(20):
        (-model.backbone.log_probs(batch, chunk_size=64).sum()).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model


def test_it_is_kto_of_each_answer_with_a_z_on_others_answers(further):
    documents = judged()
    right, z, gains = kto_by_hand(further, documents, GOOD)
    found, _ = step(further, split(8), 8)
    assert z > 0.5
    assert found["z"] == pytest.approx(z, rel=1e-4)
    assert found["loss"] == pytest.approx(right, rel=1e-5)
    means = [
        sum(0.1 * r for r, kind in zip(gains, GOOD, strict=True) if kind == wanted) / 4
        for wanted in (1, 0)
    ]
    assert found["reward_desirable"] == pytest.approx(means[0], rel=1e-4)
    assert found["reward_undesirable"] == pytest.approx(means[1], rel=1e-4)
    assert found["reward_margin"] == pytest.approx(means[0] - means[1], rel=1e-3)
    assert found["desirable_share"] == 0.5
    assert found["kl"] == pytest.approx(sum(gains) / 8, rel=1e-4)


def test_any_split_of_a_step_gives_the_same_numbers_and_gradients(further):
    whole, gradients = step(further, split(8), 8)
    order = [5, 2, 7, 0, 3, 6, 1, 4]
    documents = judged()
    shuffled = split(2, [documents[n] for n in order], [GOOD[n] for n in order])
    for batches in (split(1), split(2), split(3), shuffled):
        found, grads = step(further, batches, 8)
        assert found == pytest.approx(whole, rel=1e-4, abs=1e-6)
        for name, one in gradients.items():
            size = 1e-5 * float(one.abs().max())
            torch.testing.assert_close(grads[name], one, rtol=1e-3, atol=size)


class Threads:
    """Two processes of a step as threads: what `World.gather` gives each of them."""

    def __init__(self, size):
        self.size, self.values = size, [None] * size
        self.barrier = threading.Barrier(size)

    def peers(self, rank):
        outer = self

        class Both(World):
            def gather(self, value):
                outer.values[rank] = value
                outer.barrier.wait(timeout=30)
                return list(outer.values)

        world = Both(rank=rank, size=self.size)
        return Peers(world, SequenceGroup(number=rank, count=self.size))


def on_two(function):
    threads, results = Threads(2), [None, None]

    def run(rank):
        results[rank] = function(rank, threads.peers(rank))

    both = [threading.Thread(target=run, args=(rank,)) for rank in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    return results


def test_two_processes_measure_the_same_z_and_each_runs_as_many_batches(further):
    whole = further.survey(split(8), Peers())
    parts = [split(1)[:5], split(1)[5:]]
    copies = [copy.deepcopy(further) for _ in range(2)]
    found = on_two(lambda rank, peers: copies[rank].survey(parts[rank], peers))
    for name, value in whole.items():
        assert found[0][name] + found[1][name] == pytest.approx(value, rel=1e-4), name
    made = on_two(lambda rank, peers: mismatched_batches(parts[rank], peers))
    assert len(made[0]) == len(made[1]) > 1
    fillers = [batch.is_filler for own in made for batch in own]
    assert sum(not each for each in fillers) == len(mismatched_batches(split(1), Peers()))


@pytest.mark.parametrize("count", [2, 3, 5, 7, 8])
def test_no_row_meets_its_own_answer(count):
    documents = judged()[:count]
    (batch,) = mismatched_batches([batch_of(documents, GOOD[:count])], Peers())
    own = {tuple(ids.tolist()) for ids, _ in documents}
    made = documents_of(batch)
    assert len(made) == count
    assert not own & {tuple(ids.tolist()) for ids, _ in made}
    expected = mismatched_by_hand(documents)
    for (ids, labels), (right, wanted) in zip(made, expected, strict=True):
        assert ids.tolist() == right.tolist()
        assert labels.tolist() == wanted.tolist()


def test_a_pair_read_as_two_rows_takes_no_answer_of_its_own_prompt():
    """A good and a bad answer to each prompt: what the prompt has itself says nothing of z."""
    documents = []
    for ids, labels in judged([12, 15]):
        other = ids.clone()
        other[-4:] = ids[-4:].flip(0)
        shifted = torch.where(labels == -100, -100, torch.cat([other[1:], labels[-1:]]))
        documents += [(ids, labels), (other, shifted)]
    (batch,) = mismatched_batches([batch_of(documents, [1, 0, 1, 0])], Peers())
    prompts = [documents[0][0][:5], documents[2][0][:6]]
    for ids, _ in documents_of(batch):
        first = torch.equal(ids[:5], prompts[0])
        own = documents[0] if first else documents[2]
        assert first or torch.equal(ids[:6], prompts[1])
        assert not torch.equal(ids[-2:], own[0][-2:])


def test_a_single_answer_or_prompt_has_no_other_and_z_is_0(tiny_llama):
    model = moved(algorithm(tiny_llama))
    assert mismatched_batches(split(1)[:1], Peers()) == []
    found, _ = step(model, split(1)[:1], 1)
    assert found["z"] == 0.0
    assert found["loss"] > 0


@pytest.mark.parametrize("kind", [0, 1])
def test_a_step_of_one_kind_works_and_has_all_numbers(further, kind):
    documents = judged()
    right, *_ = kto_by_hand(further, documents, [kind] * 8)
    found, _ = step(further, split(4, good=[kind] * 8), 8)
    mixed, _ = step(further, split(8), 8)
    assert found["loss"] == pytest.approx(right, rel=1e-5)
    assert found.keys() == mixed.keys()
    assert found["reward_margin"] == 0.0
    assert found["reward_undesirable" if kind else "reward_desirable"] == 0.0


def test_weights_of_the_kinds_and_apo_zero(tiny_llama):
    weights = {"type": "kto", "beta": 0.3, "desirable_weight": 1.3, "undesirable_weight": 0.6}
    model = moved(algorithm(tiny_llama, weights), by=0.1)
    right, *_ = kto_by_hand(model, judged(), GOOD, 0.3, up=1.3, down=0.6)
    assert step(model, split(8), 8)[0]["loss"] == pytest.approx(right, rel=1e-5)
    assert model.first_loss is None
    apo = moved(algorithm(tiny_llama, "apo_zero_unpaired"), by=0.1)
    _, _, gains = kto_by_hand(apo, judged(), GOOD)
    likelier = [1 / (1 + math.exp(-0.1 * r)) for r in gains]
    right = sum(1 - p if kind else p for p, kind in zip(likelier, GOOD, strict=True)) / 8
    found, _ = step(apo, split(3), 8)
    assert found["loss"] == pytest.approx(right, rel=1e-5)
    assert "z" not in found


def test_it_begins_at_a_half_whatever_the_reference_is(tiny_llama):
    for model in (algorithm(tiny_llama), algorithm(tiny_llama, lora=None, ref=tiny_llama)):
        assert model.first_loss == 0.5
        assert step(model, split(4), 8)[0]["loss"] == pytest.approx(0.5, abs=1e-6)


def test_nothing_of_a_filler_counts_and_all_gets_a_gradient(tiny_llama):
    model = moved(algorithm(tiny_llama))
    batch = filler(split(8)[0])
    model.surveyed = {"desirable": 4.0, "undesirable": 4.0, "divergence": 8.0, "mismatched": 8.0}
    found = model(batch, normalizer=8)
    found["loss"].backward()
    assert {value.item() for value in found.values()} == {0.0}
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


def test_what_cannot_be_is_refused(tiny_llama):
    with pytest.raises(ConfigError, match="asks the reference for answers to other prompts"):
        algorithm(tiny_llama, precompute_reference=True)
    with pytest.raises(ConfigError, match="every weight is trained. Name the model"):
        algorithm(tiny_llama, lora=None)
