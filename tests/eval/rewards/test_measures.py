"""Numbers of scored answers against those worked out by hand."""

from __future__ import annotations

import math

import pytest

from xtune.eval.rewards.measures import correlation, measured
from xtune.eval.rewards.page import render_page, warnings_of
from xtune.eval.rewards.scored import ScoredAnswer, pairs_of_answers


def answers(*rows, **further):
    """Rows of (source, [(rank, score, tokens), …])."""
    return [
        ScoredAnswer(item, f"f:{item}", source, rank, score, tokens, **further)
        for item, (source, given) in enumerate(rows)
        for rank, score, tokens in given
    ]


ROWS = answers(
    ("a", [(0, 2.0, 5), (1, 0.5, 9)]),  # right by 1.5
    ("a", [(0, -1.0, 4), (1, 0.1, 3)]),  # wrong by 1.1
    ("b", [(0, 1.0, 7), (1, 0.9, 2), (1, 3.0, 6)]),  # right by 0.1, wrong by 2; the last two tie
)


def sure(margin):
    return 1 / (1 + math.exp(-margin))


def test_a_prompt_counts_once_and_each_pair_in_the_calibration():
    values = measured(ROWS)
    assert values["pairs"] == 4
    assert values["accuracy"]["right"] == pytest.approx((1 + 0 + 0.5) / 3)
    assert values["accuracy"]["prompts"] == 3
    assert [(one["source"], one["right"]) for one in values["by_source"]] == [
        ("a", pytest.approx(0.5)),
        ("b", pytest.approx(0.5)),
    ]
    bins = {one["from"]: one for one in values["by_margin"] if one["pairs"]}
    assert {low: (one["pairs"], one["right"]) for low, one in bins.items()} == {
        0.0: (1, 1.0),
        1.0: (2, 0.5),
        2.0: (1, 0.0),
    }
    assert bins[1.0]["sure"] == pytest.approx((sure(1.5) + sure(1.1)) / 2)
    error = (
        1 * (1 - sure(0.1)) + 2 * abs(0.5 - (sure(1.5) + sure(1.1)) / 2) + 1 * (sure(2.0) - 0)
    ) / 4
    assert values["calibration_error"] == pytest.approx(error)
    assert values["margin"]["mean"] == pytest.approx((1.5 - 1.1 + 0.1 - 2) / 4)
    # the longer answer is better in pairs 2, 3 and 4 by the data; by the model in 3
    assert values["longer_is_better"] == {
        "pairs": 4,
        "by_data": pytest.approx(3 / 4),
        "by_model": pytest.approx(1 / 4),
    }


def test_of_a_cost_less_is_better_and_the_sign_is_a_verdict():
    rows = [
        *answers(("", [(0, -2.0, 5)]), safe=1),
        *answers(("", [(1, -0.5, 5)]), safe=-1),
    ]
    values = measured(rows, is_cost=True)
    assert values["accuracy"]["right"] == 1.0
    assert values["margin"]["mean"] == pytest.approx(1.5)
    assert values["verdicts"] == {"answers": 2, "right": 0.5}
    assert values["by_source"] == []


def test_answers_without_pairs_have_scores_alone():
    values = measured(answers(("", [(0, 1.0, 1)]), ("", [(0, 3.0, 2)]), ("", [(0, 5.0, 3)])))
    assert "accuracy" not in values
    assert values["scores"] == {
        "mean": 3.0,
        "std": pytest.approx(math.sqrt(8 / 3)),
        "min": 1.0,
        "max": 5.0,
    }
    assert values["length_correlation"] == 1.0
    assert correlation([1.0, 1.0], [1, 2]) is None


def test_what_is_wrong_is_said_and_text_is_escaped():
    rows = answers(("", [(0, 1.0, 1), (1, 5.0, 9)]), answer="<b>x</b>", ended=False)
    values = measured(rows) | {
        "model": "<m>", "data": "d", "kind": "reward", "reading": "end", "shift": 0.0, "date": "",
    }  # fmt: skip
    said = " ".join(warnings_of(values))
    assert "look whether longer answers are better" in said
    assert "2 answers do not end in the end token" in said
    assert "less often than by chance" in said
    page = render_page(values, rows, list(pairs_of_answers(rows, is_cost=False)), b"")
    assert "<b>x" not in page
    assert "&lt;b&gt;x" in page
    assert "&lt;m&gt;" in page
    assert "the longer answer is better in 0.0 % of pairs by the data, 100.0 % by it" in page
