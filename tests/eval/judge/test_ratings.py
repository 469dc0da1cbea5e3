"""Elo, Bradley-Terry, intervals and the win rate at equal length, against numbers made by hand."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest

from xtune.errors import UsageError
from xtune.eval.judge.bradley_terry import bradley_terry
from xtune.eval.judge.elo import online_elo, shuffled_elo
from xtune.eval.judge.islands import islands
from xtune.eval.judge.length_adjusted import length_adjusted
from xtune.eval.judge.matches import Match
from xtune.eval.judge.resampling import resampled


def play(*results: str) -> list[Match]:
    """'a>b' a wins, 'a=b' a tie; each on a question of its own."""
    matches = []
    for number, result in enumerate(results):
        one, other = (result[0], result[2])
        outcome = 0.5 if result[1] == "=" else 1.0
        matches.append(Match(f"q{number}", "general", "general", (one, other), outcome))
    return matches


def test_online_elo_by_hand():
    """a beats b at 1000: 4 x 0.5 to a; then b beats a, whom 4 points make a little likelier."""
    after_one = online_elo(play("a>b"))
    assert after_one == {"a": 1002.0, "b": 998.0}
    expected = 1 / (1 + 10 ** (4 / 400))  # b's, against a
    moved = 4 * (1 - expected)
    after_two = online_elo(play("a>b", "b>a"))
    assert after_two["b"] == pytest.approx(998 + moved, abs=1e-9)
    assert after_two["a"] == pytest.approx(1002 - moved, abs=1e-9)
    assert online_elo(play("a=b", "b=a")) == {"a": 1000.0, "b": 1000.0}
    assert online_elo(play("a>b"), k=32) == {"a": 1016.0, "b": 984.0}


def test_shuffled_elo_does_not_see_the_rows_order():
    matches = play(*["a>b"] * 6, *["b>a"] * 3, *["b>c"] * 5, "c=a", "a>c")
    found = shuffled_elo(matches, orders=300)
    random.Random(1).shuffle(matches)
    assert shuffled_elo(matches, orders=300) == found
    middle, low, high = found["a"]
    assert low <= middle <= high
    assert found["a"][0] > found["b"][0] > found["c"][0]
    assert sum(each[0] for each in found.values()) == pytest.approx(3000, abs=0.5)


def test_two_models_by_hand():
    """3 wins to 1 and half a virtual tie: odds 3.25 to 1.25 are the ratings' difference."""
    ratings = bradley_terry(play("a>b", "a>b", "a>b", "b>a"))
    apart = 400 * math.log10(3.25 / 1.25)
    assert ratings["a"] == pytest.approx(1000 + apart / 2, abs=1e-6)
    assert ratings["b"] == pytest.approx(1000 - apart / 2, abs=1e-6)


def test_who_wins_all_is_finitely_good():
    ratings = bradley_terry(play(*["a>b"] * 9))
    assert ratings["a"] - ratings["b"] == pytest.approx(400 * math.log10(9.25 / 0.25), abs=1e-6)


def test_three_models_satisfy_the_likelihoods_equations():
    """At the maximum each model's expected wins are its wins, virtual ties included."""
    results = [*["a>b"] * 7, *["b>a"] * 3, *["b>c"] * 6, *["c>b"] * 4, *["c>a"] * 2, "a=c", "a>c"]
    matches = play(*results)
    ratings = bradley_terry(matches)
    for name in "abc":
        won = expected = 0.0
        for match in [*matches, *play("a=b", "b=c", "a=c")]:
            weight = 1.0 if match in matches else 0.5
            if name in match.models:
                place = match.models.index(name)
                other = match.models[1 - place]
                won += weight * (match.outcome if place == 0 else 1 - match.outcome)
                expected += weight / (1 + 10 ** ((ratings[other] - ratings[name]) / 400))
        assert won == pytest.approx(expected, abs=1e-7)
    assert sum(ratings.values()) == pytest.approx(3000, abs=1e-6)


def test_ratings_do_not_see_order_or_sides():
    matches = play(*["a>b"] * 5, *["b>c"] * 4, *["c>a"] * 3, "a=b")
    turned = [
        Match(m.question, m.kind, m.category, m.models[::-1], 1 - m.outcome) for m in matches[::-1]
    ]
    assert bradley_terry(turned) == pytest.approx(bradley_terry(matches), abs=1e-7)


def test_equal_results_give_equal_ratings():
    ratings = bradley_terry(play("a>b", "b>a", "a>c", "b>c", "c>a", "c>b", "a=b"))
    assert set(np.round(list(ratings.values()), 7)) == {1000.0}


def test_islands_are_named():
    assert islands("abcd", [("a", "b"), ("c", "d")]) == [["a", "b"], ["c", "d"]]
    with pytest.raises(UsageError, match=r"into 2 islands that have no match: a, b \| c, d"):
        bradley_terry(play("a>b", "c>d"))


def test_intervals():
    matches = play(*["a>b"] * 30, *["b>a"] * 20)
    ratings, rates = resampled(matches, rounds=1000)
    shuffled = matches[:]
    random.Random(0).shuffle(shuffled)
    assert resampled(shuffled, rounds=1000) == (ratings, rates)
    # 0.6 +- 1.96 sqrt(0.6 x 0.4 / 50) = 0.464 .. 0.736; steps are 0.02
    assert rates["a"] == pytest.approx((0.464, 0.736), abs=0.03)
    assert rates["b"] == pytest.approx((1 - rates["a"][1], 1 - rates["a"][0]))
    low, high = ratings["a"]
    assert low < bradley_terry(matches)["a"] < high


def test_matches_of_one_question_are_drawn_together():
    """All three pairs of each question agree, so a resample of questions changes nothing."""
    matches = [
        Match(question, "general", "general", pair, 1.0)
        for question in "xyz"
        for pair in (("a", "b"), ("b", "c"), ("a", "c"))
    ]
    ratings, rates = resampled(matches, rounds=50)
    exact = bradley_terry(matches)
    for name, (low, high) in ratings.items():
        assert (low, high) == pytest.approx((exact[name], exact[name]), abs=1e-6)
    assert rates == {"a": (1.0, 1.0), "b": (0.5, 0.5), "c": (0.0, 0.0)}


def test_length_does_not_matter_where_outcomes_do_not_follow_it():
    outcomes = [1, 0, 1, 0, 1, 1, 1, 1]
    longer = [50, 50, -50, -50, 50, 50, -50, -50]
    assert length_adjusted(outcomes, longer) == pytest.approx(0.75, abs=2e-3)
    assert length_adjusted([1.0, 0.5, 0.0, 1.0], [0, 0, 0, 0]) == 0.625


def test_who_wins_by_length_alone_wins_half_at_equal_length():
    """The longer answer wins in 9 of 10; the first model's is longer in 3 of 4."""
    outcomes, longer = [], []
    for at in range(400):
        is_longer = at % 4 != 0
        wins = is_longer if (at // 4) % 10 else not is_longer
        outcomes.append(float(wins))
        longer.append(80 if is_longer else -80)
    assert sum(outcomes) / 400 == 0.7
    adjusted = length_adjusted(outcomes, longer)
    # Two lengths, two unknowns: at tanh(d / std) logits are log 9 and -log 9, so 0 lies between,
    # were it not for the ridge on the slope.
    assert adjusted == pytest.approx(0.5, abs=0.03)
    few = length_adjusted(outcomes[:12], longer[:12])
    assert 0.5 < few < sum(outcomes[:12]) / 12  # a few matches are adjusted less


def test_who_always_wins_always_wins_at_equal_length():
    assert length_adjusted([1.0] * 20, list(range(20))) > 0.99
