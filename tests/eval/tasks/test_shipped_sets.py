"""The questions and texts that come with xtune: their form, and that no training row has them."""

from __future__ import annotations

from collections import Counter

import pytest

from xtune.data.sources import open_source
from xtune.eval.tasks.base import Choices, Likelihood, Likelihoods, Rolling
from xtune.eval.tasks.common_knowledge import CommonKnowledge
from xtune.eval.tasks.everyday_text import EverydayText


def test_the_questions_have_one_form():
    items = CommonKnowledge().items()
    assert len(items) == 80
    assert len({item.id for item in items}) == len({item.question for item in items}) == 80
    for item in items:
        assert item.question.endswith("?")
        assert len(set(item.options)) == 4
        assert not any(option != option.strip() or option.endswith(".") for option in item.options)
        assert item.options[item.gold].lower() not in item.question.lower()
    # nobody gets more than a quarter by always taking the same place
    assert Counter(item.gold for item in items) == {0: 20, 1: 20, 2: 20, 3: 20}
    groups = Counter(item.group for item in items)
    assert set(groups) == {"nature", "home", "places", "science", "words", "numbers"}
    assert min(groups.values()) >= 12


def test_a_question_is_asked_and_scored():
    task = CommonKnowledge()
    item = task.items()[0]
    assert item.where == "common_knowledge.jsonl:1"
    asked = task.ask(item, "completion")
    assert isinstance(asked, Choices)
    first = asked.candidates[0]
    assert first.prompt.question == "Question: What do bees make in their hives?\nAnswer:"
    assert [each.continuation for each in asked.candidates] == ["honey", "butter", "salt", "paper"]
    sums = [Likelihood(value, False, 1) for value in (-1.5, -2.0, -4.0, -9.0)]
    score = task.score(item, Likelihoods(tuple(sums)))
    assert score.metrics == {"acc": 1.0}
    assert (score.got, score.expected, score.margin) == ("honey", "honey", 0.5)


def test_the_texts_are_seven_paragraphs():
    task = EverydayText()
    items = task.items()
    assert len(items) == 7
    texts = [item.fields["text"] for item in items]
    assert all("\n" not in text and text.isascii() and 400 < len(text) < 700 for text in texts)
    assert task.settings()["bytes"] == sum(map(len, texts)) == 3499
    assert task.ask(items[0], "completion") == Rolling(texts[0])


@pytest.mark.parametrize("source", ["toolcall", "agent_tools"])
def test_no_training_row_has_a_question_or_a_sentence_of_them(source):
    rows = open_source(source, split="train").rows()
    said = "\n".join(str(message["content"]) for _, row in rows for message in row["messages"])
    assert len(said) > 10_000
    questions = [item.question for item in CommonKnowledge().items()]
    sentences = [s for item in EverydayText().items() for s in item.fields["text"].split(". ")]
    assert not [text for text in (*questions, *sentences) if text in said]
