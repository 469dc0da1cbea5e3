"""Each loss of scores against its formula, written out with `math` in float64."""

from __future__ import annotations

import math

import pytest
import torch

from xtune.errors import ConfigError
from xtune.losses.reward import AlignedTokens, RewardTerms
from xtune.losses.reward.penalties import centre, l2, log_barrier
from xtune.registry import REWARD_LOSSES, build, names

# scores of three pairs: right, wrong, and even
BETTER, WORSE = [2.0, -1.0, 0.5], [0.5, 1.5, 0.5]


def column(values):
    return torch.tensor(values, dtype=torch.float64)


def terms(better=BETTER, worse=WORSE, **further):
    return RewardTerms(column(better), column(worse), **further)


def ls(x):
    return -math.log(1 + math.exp(-x))


def found(loss, pairs):
    return build(REWARD_LOSSES, {"type": loss} if isinstance(loss, str) else loss)(pairs).tolist()


def test_bradley_terry_is_the_logistic_loss_of_the_difference():
    assert found("bradley_terry", terms()) == pytest.approx([-ls(1.5), -ls(-2.5), math.log(2)])
    # 0.20141327798275246 by a calculator for the first
    assert found("bradley_terry", terms())[0] == pytest.approx(0.2014132779827525)


def test_the_better_answer_is_the_one_whose_score_rises():
    """llm3s writes 'preferred is y_l': taken literally it trains the inverse."""
    pairs = terms([0.0], [0.0])
    pairs.better.requires_grad_()
    pairs.worse.requires_grad_()
    build(REWARD_LOSSES, {"type": "bradley_terry"})(pairs).sum().backward()
    assert pairs.better.grad.item() == -0.5
    assert pairs.worse.grad.item() == 0.5


def test_a_margin_is_what_the_difference_must_reach():
    pairs = terms(margin=column([3.0, 1.0, 0.0]))
    loss = {"type": "bradley_terry", "margin_weight": 1.0}
    assert found(loss, pairs) == pytest.approx([-ls(1.5 - 3), -ls(-2.5 - 1), -ls(0)])
    half = {"type": "bradley_terry", "margin_weight": 0.5}
    assert found(half, pairs) == pytest.approx([-ls(1.5 - 1.5), -ls(-2.5 - 0.5), -ls(0)])
    assert build(REWARD_LOSSES, loss).vectors == ("score",)
    assert build(REWARD_LOSSES, {"type": "bradley_terry"}).vectors == ()


def test_a_soft_label_is_the_probability_that_the_order_is_right():
    q = [1.0, 0.7, 0.5]
    pairs = terms(soft_label=column(q))
    expected = [
        -a * ls(b - c) - (1 - a) * ls(c - b) for a, b, c in zip(q, BETTER, WORSE, strict=True)
    ]
    assert found("bradley_terry", pairs) == pytest.approx(expected)
    zero = {"type": "focal", "gamma": 0.0}
    assert found(zero, pairs) == pytest.approx(expected)


def test_focal_counts_what_is_sure_less():
    def by_hand(better, worse, g=2.0):
        p = 1 / (1 + math.exp(worse - better))
        return -((1 - 2 * max(0.0, p - 0.5)) ** g) * math.log(p)

    assert found("focal", terms()) == pytest.approx(
        [by_hand(*pair) for pair in zip(BETTER, WORSE, strict=True)]
    )
    assert found("focal", terms())[1] == pytest.approx(-ls(-2.5))  # wrong: counts whole
    assert found({"type": "focal", "gamma": 1.0}, terms())[0] == pytest.approx(
        by_hand(2.0, 0.5, 1.0)
    )


def test_positions_count_from_the_first_difference_to_the_earlier_end():
    tokens = AlignedTokens(
        column([1.0, 0.0, 2.0]), column([0.0, 0.5, 2.0]), torch.tensor([0, 0, 2])
    )
    expected = [(-ls(1.0) - ls(-0.5)) / 2, 0.0, -ls(0.0)]  # the second: the same tokens twice
    assert found("token_aligned", terms(tokens=tokens)) == pytest.approx(expected)
    soft = terms(tokens=tokens, soft_label=column([0.9, 1.0, 1.0]))
    first = (-0.9 * ls(1.0) - 0.1 * ls(-1.0) - 0.9 * ls(-0.5) - 0.1 * ls(0.5)) / 2
    assert found("token_aligned", soft)[0] == pytest.approx(first)


def test_the_sign_of_a_cost_is_a_verdict():
    # the safer answer is the first: it is to cost less
    pairs = terms(
        [-1.0, 0.5, 1.0],
        [2.0, 0.2, 3.0],
        better_safe=column([1.0, 1.0, 0.0]),
        worse_safe=column([-1.0, 1.0, -1.0]),
    )
    expected = [
        -ls(3.0) - ls(1.0) - ls(2.0),
        -ls(-0.3) - ls(-0.5) - ls(-0.2),
        -ls(2.0) - ls(3.0),  # nobody knows of the first: no term
    ]
    assert found("safe_rlhf_cost", pairs) == pytest.approx(expected)


def test_penalties_are_those_of_their_papers():
    scores = column(BETTER), column(WORSE)
    assert centre(*scores).tolist() == pytest.approx([2.5**2, 0.5**2, 1.0])
    assert l2(*scores).tolist() == pytest.approx([(4 + 0.25) / 2, (1 + 2.25) / 2, 0.25])
    barrier = [
        (-math.log(a + 5) - math.log(5 - a) - math.log(b + 5) - math.log(5 - b)) / 2
        for a, b in zip(BETTER, WORSE, strict=True)
    ]
    assert log_barrier(*scores).tolist() == pytest.approx(barrier)


def test_beyond_its_limit_the_barrier_is_finite_and_leads_back():
    far = column([40.0, -5.0])
    far.requires_grad_()
    value = log_barrier(far, column([0.0, 0.0]))
    edge = -math.log(9.99) - math.log(0.01)
    slope = 100 - 1 / 9.99
    expected = [(edge + slope * by - 2 * math.log(5)) / 2 for by in (35.01, 0.01)]
    assert value.tolist() == pytest.approx(expected)
    value.sum().backward()
    assert far.grad.tolist() == pytest.approx([slope / 2, -slope / 2])


@pytest.mark.parametrize("name", names(REWARD_LOSSES))
def test_scores_far_apart_stay_finite(name):
    better, worse = torch.tensor([300.0, -300.0]), torch.tensor([-300.0, 300.0])
    better.requires_grad_()
    tokens = AlignedTokens(better, worse, torch.tensor([0, 1]))
    ones = torch.ones(2)
    loss = build(REWARD_LOSSES, {"type": name})
    value = loss(RewardTerms(better, worse, ones, ones, ones, -ones, tokens))
    value.sum().backward()
    assert torch.isfinite(value).all()
    assert torch.isfinite(better.grad).all()
    assert better.grad.any()


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        ({"type": "bradley_terry", "margin_weight": -1.0}, "margin_weight is -1.0"),
        ({"type": "focal", "gamma": -0.5}, "gamma is -0.5"),
    ],
)
def test_options_out_of_range_are_refused(loss, said):
    with pytest.raises(ConfigError, match=said):
        build(REWARD_LOSSES, loss)
