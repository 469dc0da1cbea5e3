import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.webgpt_comparisons import webgpt_comparisons_map_fn


def row(first, second, score):
    return {
        "question": {"dataset": "eli5", "id": "q", "full_text": "Why?"},
        "answer_0": first,
        "answer_1": second,
        "score_0": score,
        "score_1": -score,
        "quotes_0": {"title": ["t"], "extract": ["e"]},
        "tokens_0": {"prefix": [1]},
    }


def test_marks_of_quotes_are_taken_out():
    made = webgpt_comparisons_map_fn(row("Rain [1] and\nsnow [2, 3].", "No[1].", 0.75))
    assert made["chosen"] == [{"role": "assistant", "content": "Rain and\nsnow."}]
    assert made["rejected"] == [{"role": "assistant", "content": "No."}]
    assert (made["margin"], made["source"]) == (1.5, "eli5")
    assert "soft_label" not in made


def test_the_second_answer_may_be_the_better_one():
    assert webgpt_comparisons_map_fn(row("a", "b", -1))["chosen"][0]["content"] == "b"


def test_a_score_of_nought_is_a_tie_and_stays_a_pair():
    made = webgpt_comparisons_map_fn(row("a", "b", 0))
    assert (made["soft_label"], made["margin"]) == (0.5, 0)


def test_answers_that_differ_by_marks_alone_are_no_pair():
    with pytest.raises(UnusableRow, match="the same"):
        webgpt_comparisons_map_fn(row("a [1].", "a [2].", 1))
