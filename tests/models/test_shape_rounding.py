"""Rows of rounded lengths on a CPU: few of them, little added, and the same loss and gradients."""

from __future__ import annotations

import pytest
import torch

from tests.models.packs import pack, random_documents
from xtune.models import SupervisedFinetune, load_model
from xtune.models.algorithms import backbone
from xtune.models.shape_rounding import round_up, with_rounded_length
from xtune.parallel.slices import BatchSlice

LENGTHS = [5, 1, 17, 30, 2]  # 55 in all


def test_few_lengths_and_little_added():
    rounded = {length: round_up(length) for length in range(1, 4097)}
    assert all(0 <= more - length <= max(7, length / 16) for length, more in rounded.items())
    assert len({round_up(length) for length in range(513, 1025)}) == 16
    assert all(round_up(more) == more for more in rounded.values())


def test_what_is_added_is_a_document_of_its_own():
    batch = pack(random_documents(LENGTHS))
    row = with_rounded_length(batch)
    assert row.tokens == 56
    assert row.cu_seqlens.tolist() == [*batch.cu_seqlens.tolist(), 56]
    assert row.cu_seqlens.dtype == batch.cu_seqlens.dtype
    assert row.labels is batch.labels
    whole = pack(random_documents([40, 24]))
    assert with_rounded_length(whole) is whole


def test_a_row_that_processes_share_stays_as_it_is():
    batch = pack(random_documents(LENGTHS))
    fields = {name: getattr(batch, name) for name in batch.__dataclass_fields__}
    part = BatchSlice(**fields)
    assert with_rounded_length(part) is part


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("family", ["llama", "mistral"])
def test_loss_and_gradients_are_those_of_the_row_alone(tiny_family, monkeypatch, family, dtype):
    settings = {"sliding_window": 8} if family == "mistral" else {}
    model = SupervisedFinetune(load_model(str(tiny_family(family, **settings)), dtype=dtype))
    batch = pack(random_documents(LENGTHS))
    seen = []

    def watched(batch):
        seen.append(with_rounded_length(batch).tokens)
        return with_rounded_length(batch)

    def step():
        model.zero_grad()
        loss = model(batch, normalizer=batch.trained_tokens)["loss"]
        loss.backward()
        return loss.detach(), {n: p.grad.clone() for n, p in model.named_parameters()}

    monkeypatch.setattr(backbone, "with_rounded_length", watched)
    loss, gradients = step()
    assert seen == [56]
    monkeypatch.setattr(backbone, "with_rounded_length", lambda batch: batch)
    plain_loss, plain = step()
    close = {"rtol": 1e-5, "atol": 1e-6} if dtype == "fp32" else {"rtol": 2e-2, "atol": 1e-3}
    torch.testing.assert_close(loss, plain_loss, **close)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, plain[name], **close)
