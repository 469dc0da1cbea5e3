"""The chunked loss against torch's plain one: value, gradients, and what it holds in memory."""

from __future__ import annotations

import importlib

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from xtune.losses import chunked_cross_entropy

home = importlib.import_module("xtune.losses.chunks")

N, D, V = 37, 16, 101


def make(dtype=torch.float32, trained=0.6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randn(N, D, generator=generator).to(dtype).requires_grad_()
    weight = torch.randn(V, D, generator=generator).to(dtype).requires_grad_()
    bias = torch.randn(V, generator=generator).to(dtype).requires_grad_()
    labels = torch.randint(V, (N,), generator=generator)
    labels[torch.rand(N, generator=generator) > trained] = -100
    return hidden, weight, bias, labels


def plain(hidden, weight, bias, labels, softcap=None):
    logits = F.linear(hidden, weight, bias)
    if softcap:
        logits = softcap * torch.tanh(logits / softcap)
    return F.cross_entropy(logits, labels, reduction="sum")


@pytest.mark.parametrize("chunk_size", [1, 8, 1000])
@pytest.mark.parametrize("softcap", [None, 5.0])
@pytest.mark.parametrize("rows", [1, 3, 1000])  # that stay in cache together
def test_equals_the_plain_loss_forward_and_backward(chunk_size, softcap, rows, monkeypatch):
    monkeypatch.setattr(home, "_CACHED", rows * V)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    hidden, weight, bias, labels = make()
    expected = plain(hidden, weight, bias, labels, softcap)
    expected_grads = torch.autograd.grad(expected * 3, (hidden, weight, bias))

    loss = chunked_cross_entropy(
        hidden, weight, labels, bias=bias, softcap=softcap, chunk_size=chunk_size
    )
    grads = torch.autograd.grad(loss * 3, (hidden, weight, bias))

    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    for grad, expected_grad in zip(grads, expected_grads, strict=True):
        torch.testing.assert_close(grad, expected_grad, rtol=1e-5, atol=1e-5)


def test_positions_without_label_get_no_gradient():
    hidden, weight, _, labels = make()
    chunked_cross_entropy(hidden, weight, labels).backward()
    silent = labels == -100
    assert silent.any()
    assert (~silent).any()
    assert hidden.grad[silent].eq(0).all()
    assert hidden.grad[~silent].ne(0).any(dim=1).all()


def test_a_frozen_head_gets_no_gradient():
    hidden, weight, _, labels = make()
    weight.requires_grad_(False)
    chunked_cross_entropy(hidden, weight, labels).backward()
    assert weight.grad is None
    assert hidden.grad is not None


def test_without_gradients_the_value_is_the_same():
    hidden, weight, _, labels = make()
    with torch.no_grad():
        silent = chunked_cross_entropy(hidden, weight, labels, chunk_size=5)
    torch.testing.assert_close(silent, chunked_cross_entropy(hidden, weight, labels, chunk_size=5))


def test_nothing_trained_is_zero_and_still_connected():
    hidden, weight, _, labels = make()
    loss = chunked_cross_entropy(hidden, weight, torch.full_like(labels, -100))
    assert loss.item() == 0.0
    loss.backward()
    assert hidden.grad.eq(0).all()
    assert weight.grad.eq(0).all()


class LargestTensor(TorchDispatchMode):
    """Remembers the most elements that any operation's result had."""

    def __init__(self, dtype=None):
        super().__init__()
        self.dtype = dtype  # None: any
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        results = out if isinstance(out, tuple) else (out,)
        for result in results:
            if isinstance(result, torch.Tensor) and self.dtype in (None, result.dtype):
                self.elements = max(self.elements, result.numel())
        return out


def test_no_tensor_of_tokens_times_vocabulary_is_held():
    generator = torch.Generator().manual_seed(0)
    tokens, vocabulary, width, chunk = 256, 500, 8, 16
    hidden = torch.randn(tokens, width, generator=generator, requires_grad=True)
    weight = torch.randn(vocabulary, width, generator=generator, requires_grad=True)
    labels = torch.randint(vocabulary, (tokens,), generator=generator)

    with LargestTensor() as ours:
        chunked_cross_entropy(hidden, weight, labels, chunk_size=chunk).backward()
    with LargestTensor() as theirs:
        F.cross_entropy(hidden @ weight.T, labels, reduction="sum").backward()

    assert theirs.elements == tokens * vocabulary  # the instrument sees what it should
    assert ours.elements == chunk * vocabulary


def test_a_chunk_in_bf16_has_no_copy_in_fp32(monkeypatch):
    rows, width, vocabulary = 64, 8, 500
    monkeypatch.setattr(home, "_CACHED", 4 * vocabulary)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    hidden = torch.randn(rows, width, dtype=torch.bfloat16, requires_grad=True)
    weight = torch.randn(vocabulary, width, dtype=torch.bfloat16)
    labels = torch.randint(vocabulary, (rows,))
    with LargestTensor(torch.float32) as seen:
        chunked_cross_entropy(hidden, weight, labels).backward()
    assert seen.elements == 4 * vocabulary


def test_bf16_is_as_near_to_fp32_as_the_plain_loss():
    hidden, weight, _, labels = make(torch.bfloat16)
    reference = [tensor.detach().float().requires_grad_() for tensor in (hidden, weight)]
    expected = plain(*reference, None, labels)
    wanted = torch.autograd.grad(expected, reference)
    torch.testing.assert_close(
        chunked_cross_entropy(hidden, weight, labels), expected, rtol=1e-2, atol=0
    )
    ours, theirs = (
        torch.autograd.grad(loss, (hidden, weight))
        for loss in (
            chunked_cross_entropy(hidden, weight, labels),
            plain(hidden, weight, None, labels),
        )
    )
    for grad, plain_grad, true in zip(ours, theirs, wanted, strict=True):
        error, plain_error = ((g.float() - true).norm() / true.norm() for g in (grad, plain_grad))
        assert error <= 1.5 * plain_error


def test_autocast_computes_products_in_bf16_and_sums_in_fp32():
    hidden, weight, bias, labels = make()
    expected = plain(hidden, weight, bias, labels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = chunked_cross_entropy(hidden, weight, labels, bias=bias)
    loss.backward()
    assert loss.dtype == hidden.grad.dtype == weight.grad.dtype == torch.float32
    torch.testing.assert_close(loss, expected, rtol=2e-2, atol=0)
    assert not torch.equal(loss, expected)


def test_fp16_gradients_meet_the_loss_scale_before_they_are_rounded():
    # A gradient of 1e-8 is zero in fp16; scaled by 65,536 it is not.
    hidden, weight, _, labels = make(torch.float16)
    normalizer, scale = 1e8, 65536.0
    loss = chunked_cross_entropy(hidden, weight, labels) / normalizer
    (grad,) = torch.autograd.grad(loss * scale, hidden)
    reference = [tensor.detach().float().requires_grad_() for tensor in (hidden, weight)]
    expected = F.cross_entropy(reference[0] @ reference[1].T, labels, reduction="sum")
    expected = torch.autograd.grad(expected / normalizer * scale, reference[0])[0]
    torch.testing.assert_close(grad.float(), expected, rtol=1e-2, atol=1e-6)
