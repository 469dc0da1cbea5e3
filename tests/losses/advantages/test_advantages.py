"""Advantages against numbers written out by hand, in float64."""

from __future__ import annotations

import math

import pytest
import torch

from xtune.losses.advantages import Scored
from xtune.losses.advantages.whitening import whitened
from xtune.registry import ADVANTAGES, build

NAN = math.nan


def scored(rewards, groups, *, lengths=None, weights=(1.0,), **further):
    by_function = torch.tensor(rewards, dtype=torch.float64)
    if by_function.dim() == 1:
        by_function = by_function[:, None]
    lengths = lengths or [1] * len(groups)
    return Scored(
        by_function,
        torch.tensor(weights, dtype=torch.float64),
        torch.tensor(groups),
        torch.tensor(lengths),
        **further,
    )


def of(name, given):
    return build(ADVANTAGES, {"type": name})(given).tolist()


def test_grpo_divides_by_the_standard_deviation_of_the_group():
    # of 1, 0, 0, 1 the mean is 0.5 and the deviation, by n - 1, sqrt(1/3)
    std = math.sqrt(1 / 3) + 1e-4
    found = of("grpo", scored([1, 0, 0, 1, 3, 3], [0, 0, 0, 0, 1, 1]))
    assert found == pytest.approx([0.5 / std, -0.5 / std, -0.5 / std, 0.5 / std, 0.0, 0.0])


def test_dr_grpo_and_rloo():
    given = scored([1, 0, 0, 3], [0, 0, 0, 1])
    assert of("dr_grpo", given) == pytest.approx([2 / 3, -1 / 3, -1 / 3, 0.0])
    # against the mean of the others: 1 - 0, 0 - 1/2, 0 - 1/2; alone there is none
    assert of("rloo", given) == pytest.approx([1.0, -0.5, -0.5, 0.0])


def test_batch_std_is_that_of_the_rewards_themselves():
    std = torch.tensor([1.0, 0.0, 5.0, 6.0], dtype=torch.float64).std().item() + 1e-4
    found = of("batch_std", scored([1, 0, 5, 6], [0, 0, 1, 1]))
    assert found == pytest.approx([0.5 / std, -0.5 / std, -0.5 / std, 0.5 / std])


def test_equal_rewards_have_no_advantage_whatever_rounding_brings():
    assert of("grpo", scored([0.1] * 8, [0] * 8)) == [0.0] * 8
    assert of("rloo", scored([0.95] * 7, [0] * 7)) == [0.0] * 7


def test_what_nobody_has_scored_is_in_no_mean():
    found = of("dr_grpo", scored([1, NAN, 0, NAN, NAN], [0, 0, 0, 1, 1]))
    assert found == pytest.approx([0.5, 0.0, -0.5, 0.0, 0.0])


def test_a_function_without_a_word_leaves_the_others_theirs():
    given = scored([[1, NAN], [0, 4], [NAN, NAN]], [0, 0, 0], weights=(1.0, 0.5))
    assert given.rewards.tolist()[:2] == [1.0, 2.0]
    assert given.is_scored.tolist() == [True, True, False]


def test_all_tokens_of_an_answer_have_its_advantage():
    assert of("dr_grpo", scored([2, 0], [0, 0], lengths=[2, 3])) == [1.0, 1.0, -1.0, -1.0, -1.0]


def test_the_distance_from_the_reference_is_taken_from_an_answers_reward():
    kl = torch.tensor([0.5, 0.5, 0.0, 1.0, 1.0], dtype=torch.float64)
    given = scored([2, 0], [0, 0], lengths=[2, 3], kl=kl, kl_in_reward=0.1)
    # 2 - 0.1 and 0 - 0.2: against each other 2.1 apart
    assert of("rloo", given) == pytest.approx([2.1, 2.1, -2.1, -2.1, -2.1])


def test_reinforce_plus_plus_whitens_what_is_still_to_come():
    kl = torch.tensor([1.0, 2.0, 0.0], dtype=torch.float64)
    given = scored([1, 0], [0, 1], lengths=[2, 1], kl=kl, kl_in_reward=0.1)
    returns = torch.tensor([1 - 0.3, 1 - 0.2, 0.0], dtype=torch.float64)
    expected = (returns - returns.mean()) / (returns.var() + 1e-8).sqrt()
    assert of("reinforce_plus_plus", given) == pytest.approx(expected.tolist())


def test_gdpo_lets_no_reward_drown_another():
    """Sums are equal, and each function by itself tells the answers apart."""
    given = scored([[1, 0], [0, 1], [0, 0], [1, 1]], [0, 0, 1, 1], weights=(2.0, 1.0))
    grpo = build(ADVANTAGES, {"type": "grpo"})
    first = grpo.of_answers(given.by_function[:, 0], given.groups)
    second = grpo.of_answers(given.by_function[:, 1], given.groups)
    assert of("gdpo", given) == pytest.approx(whitened(2 * first + second).tolist())


def test_a_number_alone_is_not_whitened():
    assert whitened(torch.tensor([3.0])).tolist() == [3.0]
    kept = whitened(torch.tensor([1.0, 3.0], dtype=torch.float64), keep_mean=True)
    assert kept.tolist() == pytest.approx([1 / math.sqrt(2), 3 / math.sqrt(2)])
