"""Losses of judged answers against their papers' formulas, written out with `math` in float64."""

from __future__ import annotations

import math

import pytest
import torch

from xtune.errors import ConfigError
from xtune.losses.preference import UnpairedTerms
from xtune.registry import UNPAIRED_LOSSES, build, names

GAINS = [3.0, -1.5, 0.0, 7.0, -20.0]
GOOD = [True, True, False, False, True]


def s(x):
    return 1 / (1 + math.exp(-x))


def kto(r, good, beta=0.1, z=1.25, up=1.0, down=1.0):
    return up * (1 - s(beta * (r - z))) if good else down * (1 - s(beta * (z - r)))


FORMULAS = [
    ({"type": "kto"}, kto),
    ({"type": "kto", "beta": 0.4}, lambda r, good: kto(r, good, 0.4)),
    (
        {"type": "kto", "desirable_weight": 1.5, "undesirable_weight": 0.7},
        lambda r, good: kto(r, good, up=1.5, down=0.7),
    ),
    ({"type": "apo_zero_unpaired"}, lambda r, good: 1 - s(0.1 * r) if good else s(0.1 * r)),
    (
        {"type": "apo_zero_unpaired", "beta": 2.0},
        lambda r, good: 1 - s(2 * r) if good else s(2 * r),
    ),
]


@pytest.mark.parametrize(("loss", "formula"), FORMULAS, ids=[str(loss) for loss, _ in FORMULAS])
def test_it_is_the_papers_formula(loss, formula):
    terms = UnpairedTerms(torch.tensor(GAINS, dtype=torch.float64), torch.tensor(GOOD), 1.25)
    expected = [formula(r, good) for r, good in zip(GAINS, GOOD, strict=True)]
    assert build(UNPAIRED_LOSSES, loss)(terms).tolist() == pytest.approx(expected, rel=1e-12)


def test_each_loss_is_held_against_a_formula():
    assert set(names(UNPAIRED_LOSSES)) == {loss["type"] for loss, _ in FORMULAS}


def test_good_answers_are_to_become_likelier_and_bad_ones_less_so():
    for loss, _ in FORMULAS:
        gain = torch.tensor(GAINS, requires_grad=True)
        build(UNPAIRED_LOSSES, loss)(UnpairedTerms(gain, torch.tensor(GOOD))).sum().backward()
        assert ((gain.grad < 0) == torch.tensor(GOOD)).all()


def test_while_the_policy_is_its_reference_the_loss_is_known_unless_the_kinds_weigh_otherwise():
    at_start = [build(UNPAIRED_LOSSES, loss).at_start for loss, _ in FORMULAS]
    assert at_start == [0.5, 0.5, None, 0.5, 0.5]


@pytest.mark.parametrize(
    ("loss", "said"),
    [
        ({"type": "kto", "beta": 0}, "beta is 0; it must be above 0"),
        ({"type": "kto", "desirable_weight": 0}, "desirable_weight is 0; it must be above 0"),
        ({"type": "kto", "undesirable_weight": -1}, "undesirable_weight is -1"),
    ],
)
def test_an_option_that_means_nothing_is_refused(loss, said):
    with pytest.raises(ConfigError, match=said):
        build(UNPAIRED_LOSSES, loss)
