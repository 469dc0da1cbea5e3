"""Losses of sampled answers against numbers written out by hand, in float64."""

from __future__ import annotations

import math

import pytest
import torch

from xtune.errors import ConfigError
from xtune.losses.policy import PolicyTerms
from xtune.losses.policy.kl import k1, k2, k3
from xtune.registry import POLICY_LOSSES, build

# Two answers of three tokens and of one, and a position without a label between them
TRAINED = torch.tensor([True, True, True, False, True])
ANSWER = [[0, 1, 2], [4]]


def terms(log_ratio, advantage, *, grad=False):
    own = torch.tensor(log_ratio, dtype=torch.float64) - 1.0
    own.requires_grad_(grad)

    def answer_mean(values):
        means = torch.zeros_like(values)
        for places in ANSWER:
            means = means.index_put((torch.tensor(places),), values[places].mean())
        return means

    old = torch.full((5,), -1.0, dtype=torch.float64)
    return PolicyTerms(own, old, torch.tensor(advantage, dtype=torch.float64), TRAINED, answer_mean)


RATIOS = [1.5, 0.5, 1.1, 1.0, 0.7]
ADVANTAGES = [2.0, -1.0, -1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    ("loss", "expected", "low", "high"),
    [
        # min(1.5 * 2, 1.2 * 2), min(-.5, -.8), min(-1.1, -1.1), min(.7, .8)
        ({"type": "grpo"}, [-2.4, 0.8, 1.1, 0.0, -0.7], [1], [0]),
        ({"type": "dapo"}, [-2.56, 0.8, 1.1, 0.0, -0.7], [1], [0]),
        ({"type": "dr_grpo", "longest": 8}, [-2.4, 0.8, 1.1, 0.0, -0.7], [1], [0]),
        ({"type": "ppo"}, [-2.4, 0.8, 1.1, 0.0, -0.7], [1], [0]),
        # weights min(ratio, 1.2) of -A log p
        (
            {"type": "cispo", "largest": 1.2},
            [
                -1.2 * 2.0 * (math.log(1.5) - 1),
                0.5 * (math.log(0.5) - 1),
                1.1 * (math.log(1.1) - 1),
                0.0,
                -0.7 * (math.log(0.7) - 1),
            ],
            [],
            [0],
        ),
    ],
)
def test_each_token_has_the_loss_of_its_formula(loss, expected, low, high):
    found = build(POLICY_LOSSES, loss)(terms([math.log(r) for r in RATIOS], ADVANTAGES))
    assert found.losses.tolist() == pytest.approx(expected)
    assert found.too_low.nonzero()[:, 0].tolist() == low
    assert found.too_high.nonzero()[:, 0].tolist() == high


def test_gspo_has_one_ratio_for_an_answer():
    log_ratio = [0.3, -0.1, 0.1, 5.0, -0.2]  # means 0.1 and -0.2
    loss = build(POLICY_LOSSES, {"type": "gspo", "clip_low": 0.05, "clip_high": 0.2})
    found = loss(terms(log_ratio, [1.0, 1.0, 1.0, 9.0, -1.0]))
    first, second = math.exp(0.1), math.exp(-0.2)
    # the second is below 0.95: -A 0.95 is the larger loss
    assert second < 0.95
    assert found.losses.tolist() == pytest.approx([-first] * 3 + [0.0, 0.95])
    assert found.too_low.tolist() == [False, False, False, False, True]


def test_a_clipped_token_has_no_gradient_and_the_others_have_ratio_times_advantage():
    given = terms([math.log(r) for r in RATIOS], ADVANTAGES, grad=True)
    build(POLICY_LOSSES, {"type": "ppo"})(given).losses.sum().backward()
    assert given.log_prob.grad.tolist() == pytest.approx([0.0, 0.0, 1.1, 0.0, -0.7])


def test_cispo_keeps_the_gradient_of_every_token():
    given = terms([math.log(r) for r in RATIOS], ADVANTAGES, grad=True)
    build(POLICY_LOSSES, {"type": "cispo", "largest": 1.2})(given).losses.sum().backward()
    assert given.log_prob.grad.tolist() == pytest.approx([-2.4, 0.5, 1.1, 0.0, -0.7])


def test_dual_clip_bounds_the_loss_of_a_bad_token():
    found = build(POLICY_LOSSES, {"type": "ppo", "dual_clip": 3.0})(
        terms([math.log(10.0), 0.0, 0.0, 0.0, 0.0], [-1.0, -1.0, 0.0, 0.0, 0.0])
    )
    assert found.losses.tolist() == pytest.approx([3.0, 1.0, 0.0, 0.0, 0.0])
    assert found.too_high.tolist() == [True, False, False, False, False]


@pytest.mark.parametrize("name", ["grpo", "dapo", "ppo", "cispo", "gspo"])
def test_a_difference_of_a_hundred_nats_gives_numbers(name):
    given = terms([100.0, -100.0, 100.0, 0.0, -100.0], [1.0, 1.0, -1.0, 0.0, -1.0], grad=True)
    found = build(POLICY_LOSSES, {"type": name})(given)
    found.losses.sum().backward()
    assert found.losses.isfinite().all()
    assert given.log_prob.grad.isfinite().all()


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        ({"type": "grpo", "clip_low": 0.0}, "give a clip_low above 0"),
        ({"type": "dapo", "clip_high": -1.0}, "a clip_high above 0"),
        ({"type": "dr_grpo", "longest": 0}, "max_new_tokens"),
        ({"type": "ppo", "dual_clip": 1.0}, "it is above 1"),
        ({"type": "cispo", "largest": 0.5}, "1 or more"),
    ],
)
def test_an_option_that_means_nothing_is_refused(loss, said):
    with pytest.raises(ConfigError, match=said):
        build(POLICY_LOSSES, loss)


def test_the_estimators_of_the_distance():
    own, reference = torch.tensor([-1.0, -2.0]), torch.tensor([-1.5, -1.0])
    assert k1(own, reference).tolist() == [0.5, -1.0]
    assert k2(own, reference).tolist() == [0.125, 0.5]
    assert k3(own, reference).tolist() == pytest.approx([math.exp(-0.5) - 0.5, math.e - 2])
    assert k3(torch.tensor([-200.0]), torch.tensor([-1.0])).isfinite().all()


def test_k3_times_the_ratio_has_the_gradient_of_the_reverse_kl():
    """Over all tokens of a distribution: E[d(k3 ratio)] is d KL(p, p_ref)."""
    torch.manual_seed(0)
    logits = torch.randn(7, dtype=torch.float64, requires_grad=True)
    reference = torch.randn(7, dtype=torch.float64).log_softmax(0)
    own = logits.log_softmax(0)
    probabilities = own.exp().detach()
    loss = (probabilities * k3(own, reference) * (own - own.detach()).exp()).sum()
    (estimated,) = torch.autograd.grad(loss, logits)
    own = logits.log_softmax(0)
    (true,) = torch.autograd.grad((own.exp() * (own - reference)).sum(), logits)
    assert torch.allclose(estimated, true, atol=1e-12)
