"""Both orders as one match, means, and the published rows that the means must give."""

from __future__ import annotations

import pytest

from xtune.eval.judge.answers import Item
from xtune.eval.judge.forms import Verdict, read_verdict
from xtune.eval.judge.matches import match_of, micro_macro, position_bias
from xtune.eval.judge.prompts import load_prompts
from xtune.eval.judge.requests import request_for

# Set, General, Math, Coding, Micro, Macro: llm3s' published rows with GPT-4 as the judge
PUBLISHED = [
    (100, 6.91, 1.43, 7.0, 6.53, 5.11),
    (100, 7.6, 1.0, 7.25, 7.12, 5.28),
    (100, 7.82, 1.86, 6.75, 7.36, 5.48),
    (100, 8.2, 7.71, 7.88, 8.16, 7.93),
    (100, 7.38, 1.71, 8.0, 7.01, 5.70),
    (100, 7.11, 3.57, 6.75, 6.85, 5.81),
    (100, 7.42, 2.0, 7.5, 7.04, 5.64),
    (100, 7.21, 2.43, 6.5, 6.85, 5.38),
    (100, 7.18, 1.57, 7.5, 6.8, 5.42),
    (100, 8.96, 7.43, 7.5, 8.8, 7.96),
    (100, 7.13, 2.86, 6.5, 6.81, 5.50),
    (100, 8.9, 7.57, 7.75, 8.76, 8.07),
    (1000, 6.99, 2.55, 5.82, 6.62, 5.12),
    (1000, 8.85, 8.39, 8.05, 8.79, 8.43),
    (1000, 6.92, 2.73, 6.58, 6.60, 5.41),
    (1000, 8.73, 8.12, 8.13, 8.66, 8.33),
]
SIZES = {100: (89, 7, 4), 1000: (887, 75, 38)}


@pytest.mark.parametrize("row", PUBLISHED)
def test_micro_and_macro_are_those_of_the_published_rows(row):
    cases, *means, micro, macro = row
    found = micro_macro(zip(means, SIZES[cases], strict=True))
    assert found[0] == pytest.approx(micro, abs=0.0075)  # means and results are rounded to 0.01
    assert found[1] == pytest.approx(macro, abs=0.0045)


def request(judgement):
    prompts = load_prompts(None, judgement, 2)
    items = (Item("q", ("Q?",), ("four",)), Item("q", ("Q?",), ("ab",)))
    return request_for(prompts, ("one", "other"), items)


@pytest.mark.parametrize(
    ("straight", "swapped", "scores", "outcome", "flipped", "placed"),
    [
        ("8 6", "6 8", (8, 6), 1.0, False, 0),
        ("8 6", "8 6", (7, 7), 0.5, True, 2),
        ("9 6", "7 6", (7.5, 6.5), 1.0, True, 2),
        ("5 9", "9 4", (4.5, 9), 0.0, False, 0.5),
        ("7 7", "8 6", (6.5, 7.5), 0.0, False, 1),
    ],
)
def test_scores_of_both_orders(straight, swapped, scores, outcome, flipped, placed):
    both = [read_verdict("a b", text) for text in (straight, swapped)]
    match = match_of(request("scores"), *both)
    assert (match.scores, match.outcome) == (scores, outcome)
    assert (match.flipped, match.placed, match.longer) == (flipped, placed, 2)
    assert match.models == ("one", "other")


@pytest.mark.parametrize(
    ("straight", "swapped", "outcome", "flipped", "placed"),
    [
        ("[[A]]", "[[B]]", 1.0, False, 0),
        ("[[B]]", "[[A]]", 0.0, False, 0),
        ("[[A]]", "[[A]]", 0.5, True, 1),
        ("[[B]]", "[[B]]", 0.5, True, -1),
        ("[[A]]", "[[C]]", 0.5, False, 0.5),
        ("[[C]]", "[[C]]", 0.5, False, 0),
    ],
)
def test_a_win_without_scores_counts_only_in_both_orders(
    straight, swapped, outcome, flipped, placed
):
    both = [read_verdict("[[A]]", text) for text in (straight, swapped)]
    match = match_of(request("winner"), *both)
    assert (match.scores, match.outcome, match.flipped, match.placed) == (
        *((), outcome, flipped, placed),
    )


def test_position_bias():
    asked = request("scores")
    pairs = [("8 6", "8 6"), ("8 6", "6 8"), ("7 7", "7 7"), ("9 5", "8 6")]
    matches = [match_of(asked, *(read_verdict("a b", text) for text in pair)) for pair in pairs]
    bias = position_bias(matches)
    assert (bias.flipped, bias.first_place, bias.matches) == (0.5, 1.25, 4)
    assert position_bias([]) is None
    assert Verdict().scores == ()
