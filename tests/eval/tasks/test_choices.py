"""Letters and texts of options: rules against numbers made by hand."""

from __future__ import annotations

import math

import pytest

from tests.eval.tasks.files import answered
from xtune.errors import DataError
from xtune.eval.tasks.base import Item, RollingLikelihood
from xtune.eval.tasks.choices import (
    LetterTask,
    TextTask,
    checked_options,
    gold_index,
    likelihoods,
)


class Letters(LetterTask):
    name = "letters"

    def items(self):
        return [Item("1", "How many?", gold=1, options=("one", "two", "three"))]


class Texts(TextTask):
    name = "texts"
    headline = "acc_norm"

    def items(self):
        return [Item("1", "Go on", gold=2, options=("ab", "abcd", "水水水"))]

    def question(self, item):
        return item.question


def test_a_letter_is_scored_after_question_options_and_cue():
    task = Letters()
    (item,) = task.items()
    choices = task.ask(item, "completion")
    assert {one.prompt.question for one in choices.candidates} == {
        "How many?\nA. one\nB. two\nC. three\nAnswer:"
    }
    assert [one.continuation for one in choices.candidates] == ["A", "B", "C"]
    assert task.answer(item) == "B"


def test_the_likeliest_letter_is_the_answer_and_the_letters_mass_is_noted():
    task = Letters()
    (item,) = task.items()
    score = task.score(item, answered([math.log(0.02), math.log(0.05), math.log(0.01)]))
    assert (score.metrics, score.got, score.expected) == ({"acc": 1.0}, "B", "B")
    assert score.notes["letter_mass"] == pytest.approx(0.08)
    assert score.margin == pytest.approx(math.log(2.5))


def test_of_equal_letters_the_first_is_taken():
    task = Letters()
    (item,) = task.items()
    score = task.score(item, answered([-2.0, -2.0, -3.0]))
    assert (score.metrics, score.got, score.margin) == ({"acc": 0.0}, "A", 0.0)


def test_without_a_published_answer_there_is_a_letter_and_no_metric():
    task = Letters()
    item = Item("1", "How many?", gold=None, options=("one", "two"))
    score = task.score(item, answered([-2.0, -1.0]))
    assert (score.metrics, score.got, score.expected) == ({}, "B", "")


def test_texts_are_compared_whole_by_character_and_by_byte():
    """Sums -2, -3, -3.3; by 2, 4, 3 characters -1, -.75, -1.1; by 2, 4, 9 bytes -1, -.75, -.367."""
    task = Texts()
    (item,) = task.items()
    score = task.score(item, answered([-2.0, -3.0, -3.3]))
    assert score.metrics == {"acc": 0.0, "acc_norm": 0.0, "acc_bytes": 1.0}
    assert (score.got, score.expected) == ("abcd", "水水水")


def test_the_margin_of_a_measure_by_length_is_in_nats_of_the_best_option():
    """-3 over 4 characters leads -2 over 2 by 0.25: losing 4 * 0.25 nats makes -1 of both."""
    task = Texts()
    (item,) = task.items()
    score = task.score(item, answered([-2.0, -3.0, -3.3]))
    assert score.margin == pytest.approx(1.0)
    assert task.score(item, answered([-2.0, -4.0, -3.3])).margin == pytest.approx(0.0)


def test_options_that_no_question_can_have():
    assert checked_options(["a"] * 26, "x:1") == ("a",) * 26
    with pytest.raises(DataError, match=r"x:1: 27 options; a question has 2 to 26, A to Z"):
        checked_options(["a"] * 27, "x:1")
    with pytest.raises(DataError, match="x:1: 1 options"):
        checked_options(["a"], "x:1")
    with pytest.raises(DataError, match="x:1: option B is '', and must be a text"):
        checked_options(["a", ""], "x:1")
    with pytest.raises(DataError, match="x:1: option B is 3, and must be a text"):
        checked_options(["a", 3], "x:1", may_be_empty=True)
    assert checked_options(["a", ""], "x:1", may_be_empty=True) == ("a", "")


@pytest.mark.parametrize(
    ("answer", "index"), [("A", 0), ("C", 2), (" B ", 1), (2, 2), ("0", 0), ("2", 2)]
)
def test_an_answer_is_a_letter_or_a_number_from_0(answer, index):
    assert gold_index(answer, ["x", "y", "z"], "f:1") == index


@pytest.mark.parametrize("answer", ["D", "d", 3, -1, "", None, True, 1.5, "²"])
def test_an_answer_beyond_the_options_names_the_row(answer):
    with pytest.raises(DataError, match="f.csv:7: the answer is .* must be A to C or 0 to 2"):
        gold_index(answer, ["x", "y", "z"], "f.csv:7")


def test_another_kind_of_answer_is_a_bug_of_the_caller():
    with pytest.raises(TypeError, match="not RollingLikelihood"):
        likelihoods(RollingLikelihood(-1.0, 1))


def test_chance_is_one_of_the_options():
    task = Letters()
    assert task.chance(task.items()) == pytest.approx(1 / 3)
