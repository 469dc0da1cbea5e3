"""A model on a row, and its copies on the slices that several processes have of it."""

from __future__ import annotations

import copy

import pytest

from tests.parallel.ranks import on_every_rank
from xtune.parallel.slices import slice_of

__all__ = ["assert_same", "of_whole_and_shared"]


def loss_and_gradients(model, batch, normalizer):
    loss = model(batch, normalizer=normalizer)["loss"]
    loss.backward()
    return loss.item(), {
        name: parameter.grad
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }


def of_whole_and_shared(model, batch, size):
    """(loss, gradients) of the row, and summed over the slices."""
    n = batch.trained_tokens
    copies = [copy.deepcopy(model) for _ in range(size)]

    def shared(group):
        return loss_and_gradients(copies[group.rank], slice_of(batch, group), n)

    losses, gradients = zip(*on_every_rank(size, shared), strict=True)
    assert all(some.keys() == gradients[0].keys() for some in gradients)
    together = {name: sum(some[name] for some in gradients) for name in gradients[0]}
    return loss_and_gradients(model, batch, n), (sum(losses), together)


def assert_same(whole, shared):
    assert shared[0] == pytest.approx(whole[0], rel=1e-5)
    assert shared[1].keys() == whole[1].keys()
    for name, gradient in whole[1].items():
        size = float(gradient.abs().max())
        difference = float((shared[1][name] - gradient).abs().max())
        assert difference <= 1e-4 * size + 1e-7, name
