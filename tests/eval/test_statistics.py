"""Means, errors and paired tests against numbers worked out by hand."""

from __future__ import annotations

import math
import random

import pytest

from xtune.eval.statistics import (
    Mean,
    bootstrap_interval,
    group_means,
    mcnemar,
    mean_of,
    paired,
)


def by_item(*values):
    return {f"item {at}": value for at, value in enumerate(values)}


def test_the_error_of_wrong_and_right_is_the_binomial_one():
    mean = mean_of([1] * 30 + [0] * 10)
    assert mean.value == 0.75
    assert mean.stderr == pytest.approx(math.sqrt(0.75 * 0.25 / 39), abs=1e-15)


def test_the_error_of_numbers_is_that_of_their_spread():
    # deviations -2, -1, 0, 3: squares 14, over 3 and 4
    assert mean_of([1, 2, 3, 6]) == Mean(3.0, math.sqrt(14 / 12), 4)


def test_one_item_has_no_error():
    assert mean_of([0.5]) == Mean(0.5, None, 1)


def test_micro_and_macro_differ_where_groups_do():
    values, groups = [1, 1, 1, 0, 0], ["law", "law", "law", "law", "art"]
    means = group_means(values, groups)
    assert {group: (mean.value, mean.n) for group, mean in means.items()} == {
        "law": (0.75, 4),
        "art": (0.0, 1),
    }
    assert mean_of(values).value == 0.6  # micro
    assert sum(mean.value for mean in means.values()) / 2 == 0.375  # macro


@pytest.mark.parametrize(
    ("lost", "gained", "p"),
    [
        (0, 0, 1.0),
        (1, 0, 1.0),
        (5, 5, 1.0),  # the two tails overlap
        (0, 6, 2 / 64),
        (6, 0, 2 / 64),
        (2, 8, 2 * (1 + 10 + 45) / 1024),
        (10, 40, None),
    ],
)
def test_mcnemar_is_the_binomial_tail_twice(lost, gained, p):
    n = lost + gained
    if p is None:
        p = 2 * sum(math.comb(n, k) for k in range(lost + 1)) / 2**n
        assert p < 1e-4
    assert mcnemar(lost, gained) == pytest.approx(p, rel=1e-12)


def test_paired_counts_what_changed():
    change = paired(by_item(1, 1, 1, 0, 0, 0, 0, 0), by_item(1, 1, 0, 1, 1, 1, 1, 0))
    assert (change.n, change.before, change.after) == (8, 3 / 8, 6 / 8)
    assert (change.lost, change.gained) == (1, 4)
    assert change.difference == 3 / 8
    assert change.p_value == 2 * (1 + 5) / 32
    assert not change.is_clear
    assert change.low <= change.difference <= change.high


def test_only_items_that_both_have_are_compared():
    change = paired({"a": 1, "b": 0, "c": 1}, {"b": 1, "c": 1, "d": 0})
    assert (change.n, change.before, change.after) == (2, 0.5, 1.0)


def test_two_evaluations_without_a_common_item_are_an_error():
    with pytest.raises(ValueError, match="share no item"):
        paired({"a": 1}, {"b": 1})


def test_no_change_has_no_width_and_no_evidence():
    change = paired(by_item(0.25, 1.5, 2), by_item(0.25, 1.5, 2))
    assert (change.low, change.high, change.p_value, change.lost) == (0, 0, 1.0, None)


def test_a_pair_sees_what_two_means_hide():
    """Hard and easy items: each mean is wide, and every item is better by the same."""
    before = by_item(*(10.0 * at for at in range(20)))
    after = {item: value + 1 + 0.01 * (at % 2) for at, (item, value) in enumerate(before.items())}
    change = paired(before, after)
    assert mean_of(list(before.values())).stderr > 10
    assert 1.0 <= change.low < change.high <= 1.01
    assert change.p_value < 1e-3
    assert change.is_clear


def test_the_interval_is_that_of_the_normal_law_for_many_items():
    values = [1] * 300 + [0] * 700
    low, high = bootstrap_interval(values)
    wide = 1.96 * math.sqrt(0.3 * 0.7 / 1000)
    assert low == pytest.approx(0.3 - wide, abs=0.003)
    assert high == pytest.approx(0.3 + wide, abs=0.003)


def test_the_order_of_items_changes_nothing():
    values = [random.Random(4).gauss(0, 1) for _ in range(50)]
    mixed = random.Random(5).sample(values, 50)
    assert bootstrap_interval(mixed, rounds=500) == bootstrap_interval(values, rounds=500)


def test_large_sets_are_drawn_in_parts():
    values = [at / 3000 for at in range(3000)]  # distinct, so that rounds are split
    low, high = bootstrap_interval(values, rounds=2000)
    assert low < sum(values) / 3000 < high
    assert high - low == pytest.approx(2 * 1.96 / math.sqrt(12 * 3000), rel=0.1)


@pytest.mark.parametrize(("count", "p_value"), [(1, 1.0), (2, 0.5), (7, 2 / 128)])
def test_a_few_items_prove_no_more_than_their_number_can(count, p_value):
    before = by_item(*(1.0 + at for at in range(count)))
    after = {item: value - 0.1 for item, value in before.items()}
    assert paired(before, after).p_value == p_value
