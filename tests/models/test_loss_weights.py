"""Weighted labels through the model: any split, any pack, any head, any slice of a row."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from peft import LoraConfig

from tests.models.packs import documents_of, pack, random_documents
from tests.models.test_sft import ADAPTERS, LENGTHS, finetune, gradients, stirred
from xtune.parallel.sequence import SequenceGroup
from xtune.parallel.slices import slice_of


def weighted(documents, seed=2):
    """Their pack, each label with a weight of its own."""
    batch = pack(documents)
    generator = torch.Generator().manual_seed(seed)
    return replace(
        batch, per_token={"weights": torch.rand(batch.labels.shape, generator=generator) * 3}
    )


def part(batch, start, end):
    """Documents start to end of a batch, with their weights."""
    bounds = batch.cu_seqlens.tolist()
    own = pack(documents_of(batch)[start:end])
    return replace(own, per_token={"weights": batch.weights[:, bounds[start] : bounds[end]]})


def loss_and_gradients(model, batches, normalizer):
    model.zero_grad()
    total = 0.0
    for batch in batches:
        loss = model(batch, normalizer=normalizer)["loss"]
        loss.backward()
        total += loss.item()
    return total, gradients(model)


def assert_alike(one, other):
    assert one[0] == pytest.approx(other[0], rel=1e-5)
    for name, grad in one[1].items():
        torch.testing.assert_close(grad, other[1][name], rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("split", [[1, 5], [2, 2, 2], [1, 1, 1, 1, 1, 1]], ids=str)
def test_any_split_into_packs_and_micro_batches_is_one_batch(tiny_llama, split):
    batch = weighted(random_documents(LENGTHS))
    ends = [sum(split[: n + 1]) for n in range(len(split))]
    parts = [part(batch, end - size, end) for size, end in zip(split, ends, strict=True)]
    n = batch.trained_weight
    assert n == pytest.approx(sum(one.trained_weight for one in parts))
    model = stirred(finetune(tiny_llama, LoraConfig(r=4)))
    assert_alike(loss_and_gradients(model, parts, n), loss_and_gradients(model, [batch], n))


@pytest.mark.filterwarnings("ignore:.*tie_word_embeddings")
@pytest.mark.parametrize("adapter", ["lora", "lora on the head", "a head that is trained whole"])
def test_weight_two_is_the_row_twice(untied_llama, adapter):
    documents = random_documents([9, 14, 6])
    twice = pack([*documents, documents[1]])
    weights = torch.cat([torch.full((1, n), w) for n, w in ((9, 1.0), (14, 2.0), (6, 1.0))], 1)
    once = replace(pack(documents), per_token={"weights": weights})
    assert once.trained_weight == twice.trained_tokens
    model = stirred(finetune(untied_llama, ADAPTERS[adapter], loss_chunk_size=7))
    n = twice.trained_tokens
    assert_alike(loss_and_gradients(model, [once], n), loss_and_gradients(model, [twice], n))


def test_a_sum_of_weights_below_one_normalises_too(tiny_llama):
    batch = pack(random_documents(LENGTHS))
    small = replace(batch, per_token={"weights": torch.full(batch.labels.shape, 2.0**-9)})
    assert 0 < small.trained_weight < 1
    model = finetune(tiny_llama)
    plain = model(batch, normalizer=batch.trained_weight)["loss"]
    torch.testing.assert_close(model(small, normalizer=small.trained_weight)["loss"], plain)


def test_slices_of_a_row_carry_its_weights():
    batch = weighted(random_documents([5, 4, 2]))
    slices = [slice_of(batch, SequenceGroup(rank=rank, size=2)) for rank in range(2)]
    row = torch.cat([one.weights for one in slices], dim=1)
    assert torch.equal(row[:, : batch.tokens], batch.weights)
    assert sum(one.trained_weight for one in slices) == pytest.approx(batch.trained_weight)
    assert slices[0].to("cpu").weights is not None
