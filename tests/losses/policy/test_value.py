"""The critic's loss, and the weight of the distance, against numbers by hand."""

from __future__ import annotations

import pytest
import torch

from xtune.losses.policy.kl_controller import adapted
from xtune.losses.policy.value import value_losses


def test_what_moved_beyond_the_clip_has_the_larger_loss():
    values = torch.tensor([1.0, 2.0, -1.0, 0.1], requires_grad=True)
    old = torch.tensor([0.0, 0.0, 0.0, 0.0])
    returns = torch.tensor([1.5, 1.0, -0.5, 0.4])
    losses, clipped = value_losses(values, old, returns, clip=0.2)
    # clipped to 0.2, 0.2, -0.2, 0.1: squares 1.69, 0.64, 0.09, 0.09 against 0.25, 1, 0.25, 0.09
    assert losses.tolist() == pytest.approx([0.845, 0.5, 0.125, 0.045])
    assert clipped.tolist() == [True, False, False, False]
    losses.sum().backward()
    assert values.grad.tolist() == pytest.approx([0.0, 1.0, -0.5, -0.3])


def test_without_a_clip_it_is_half_of_the_square():
    losses, clipped = value_losses(
        torch.tensor([1.0]), torch.tensor([0.0]), torch.tensor([3.0]), clip=None
    )
    assert losses.tolist() == [2.0]
    assert not clipped.any()


@pytest.mark.parametrize(
    ("kl", "expected"),
    [(6.0, 0.2), (60.0, 0.2 * (1 + 0.2 * 0.1)), (0.0, 0.2 * (1 - 0.02)), (6.6, 0.2 * 1.01)],
)
def test_the_weight_goes_where_the_distance_does_not(kl, expected):
    found = adapted(0.2, kl=kl, target=6.0, episodes=1000, horizon=10_000)
    assert found == pytest.approx(expected)
