"""Advantages and returns with a critic, against a table written out by hand."""

from __future__ import annotations

import pytest
import torch

from tests.losses.advantages.test_advantages import scored
from xtune.errors import ConfigError
from xtune.registry import ADVANTAGES, build

VALUES = torch.tensor([1.0, 2.0, 0.5, 3.0], dtype=torch.float64)  # of answers with 3 and 1 tokens
KL = torch.tensor([0.1, -0.2, 0.0, 0.5], dtype=torch.float64)


def test_each_step_of_the_recursion():
    given = scored([4, 1], [0, 1], lengths=[3, 1], kl=KL, kl_in_reward=1.0, values=VALUES)
    gae = build(ADVANTAGES, {"type": "gae", "gamma": 0.9, "lam": 0.5, "whiten": False})
    third = 4.0 - 0.0 - 0.5  # the end token has the reward, and V behind it is 0
    second = 0.2 + 0.9 * 0.5 - 2.0 + 0.45 * third
    first = -0.1 + 0.9 * 2.0 - 1.0 + 0.45 * second
    alone = 1.0 - 0.5 - 3.0
    expected = [first, second, third, alone]
    assert gae(given).tolist() == pytest.approx(expected)
    returns = (torch.tensor(expected) + VALUES).tolist()
    assert gae.returns(given).tolist() == pytest.approx(returns)


def test_whitening_leaves_the_returns_alone():
    given = scored([4, 1], [0, 1], lengths=[3, 1], values=VALUES)
    plain = build(ADVANTAGES, {"type": "gae", "whiten": False})
    white = build(ADVANTAGES, {"type": "gae"})
    assert white.returns(given).tolist() == plain.returns(given).tolist()
    found = white(given)
    assert found.mean().item() == pytest.approx(0.0, abs=1e-12)
    assert found.var().item() == pytest.approx(1.0)


def test_with_lambda_1_it_is_what_is_still_to_come():
    given = scored([4, 1], [0, 1], lengths=[3, 1], kl=KL, kl_in_reward=1.0, values=VALUES)
    gae = build(ADVANTAGES, {"type": "gae", "lam": 1.0})
    assert gae.returns(given).tolist() == pytest.approx([4.1, 4.2, 4.0, 0.5])


@pytest.mark.parametrize("wrong", [{"gamma": 1.1}, {"lam": -0.1}])
def test_a_factor_beyond_1_is_refused(wrong):
    with pytest.raises(ConfigError, match="it is from 0 to 1"):
        build(ADVANTAGES, {"type": "gae", **wrong})


def test_without_a_critic_it_says_who_has_one():
    with pytest.raises(ConfigError, match="ActorCritic"):
        build(ADVANTAGES, {"type": "gae"})(scored([1], [0]))
