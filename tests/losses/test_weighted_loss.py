"""Weights in the chunked loss, against torch's plain one."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from tests.losses.test_chunked_cross_entropy import N, V, home, make
from xtune.losses import chunked_cross_entropy


def weights_of(labels, seed=3):
    return torch.rand(len(labels), generator=torch.Generator().manual_seed(seed)) * 3


@pytest.mark.parametrize("chunk_size", [1, 8, 1000])
@pytest.mark.parametrize("softcap", [None, 5.0])
@pytest.mark.parametrize("rows", [3, 1000])  # that stay in cache together
def test_each_position_counts_by_its_weight(chunk_size, softcap, rows, monkeypatch):
    monkeypatch.setattr(home, "_CACHED", rows * V)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    hidden, weight, bias, labels = make()
    weights = weights_of(labels)
    logits = F.linear(hidden, weight, bias)
    if softcap:
        logits = softcap * torch.tanh(logits / softcap)
    expected = (F.cross_entropy(logits, labels, reduction="none") * weights).sum()
    expected_grads = torch.autograd.grad(expected * 3, (hidden, weight, bias))

    loss = chunked_cross_entropy(
        hidden, weight, labels, bias=bias, softcap=softcap, chunk_size=chunk_size, weights=weights
    )
    grads = torch.autograd.grad(loss * 3, (hidden, weight, bias))

    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    for grad, expected_grad in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(grad, expected_grad, rtol=1e-5, atol=1e-5)


def test_weights_of_one_change_no_bit():
    hidden, weight, bias, labels = make()
    plain = chunked_cross_entropy(hidden, weight, labels, bias=bias)
    ones = chunked_cross_entropy(hidden, weight, labels, bias=bias, weights=torch.ones(N))
    assert torch.equal(plain, ones)
    for a, b in zip(
        torch.autograd.grad(plain, (hidden, weight, bias)),
        torch.autograd.grad(ones, (hidden, weight, bias)),
        strict=True,
    ):
        assert torch.equal(a, b)


def test_a_weight_of_zero_is_no_label():
    hidden, weight, _, labels = make()
    weights = weights_of(labels)
    weights[::3] = 0
    masked = labels.clone()
    masked[::3] = -100
    torch.testing.assert_close(
        chunked_cross_entropy(hidden, weight, labels, weights=weights),
        chunked_cross_entropy(hidden, weight, masked, weights=weights),
    )
