"""Which of two answers a model gives more readily: numbers from hand-made log-probabilities."""

from __future__ import annotations

import json

import pytest

from tests.data.tiny_tokenizer import tiny_tokenizer
from tests.eval.test_prompts import CHATML, chat
from xtune.errors import DataError
from xtune.eval.statistics import paired
from xtune.eval.tasks.base import Likelihood, Likelihoods
from xtune.eval.tasks.preference import PreferenceEvaluation

ROWS = [
    {"prompt": "What is it?", "chosen": "it", "rejected": "is it so", "source": "talk"},
    {"prompt": "What is it?", "chosen": "same", "rejected": "same"},
]


@pytest.fixture
def task(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return PreferenceEvaluation(data_path=str(path))


def test_both_answers_are_scored_with_the_end_of_their_turn(task):
    (item,) = task.items()
    assert (item.question, item.options, item.group) == ("What is it?", ("it", "is it so"), "talk")
    assert task.settings() == {"rows_skipped": 1}  # two equal answers
    tokenizer = tiny_tokenizer(chat_template=CHATML)
    better, worse = chat().choices(task.ask(item, "chat"))
    assert better.context == worse.context
    assert tokenizer.decode(better.context).endswith("What is it?<|im_end|>\n<|im_start|>assistant")
    assert tokenizer.decode(better.continuation) == "\nit<|im_end|>"
    assert tokenizer.decode(worse.continuation) == "\nis it so<|im_end|>"


def test_answers_with_calls_are_left_out_and_the_others_keep_their_numbers(tmp_path):
    call = {"type": "function", "function": {"name": "look", "arguments": {}}}
    called = [{"role": "assistant", "content": "", "tool_calls": [call]}]
    rows = [{**ROWS[0], "chosen": called}, ROWS[1], ROWS[0]]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = PreferenceEvaluation(data_path=str(path))
    (item,) = task.items()
    assert (item.id, item.where, item.options) == ("2", f"{path}:3", ("it", "is it so"))
    assert task.settings() == {"rows_skipped": 2}


def test_the_likelier_answer_is_preferred_as_a_whole_and_per_token(task):
    (item,) = task.items()
    score = task.score(item, _answered((-4.0, 2), (-6.0, 6)))
    assert score.metrics == {
        "prefers_better": 1.0,  # -4 > -6
        "per_token": 0.0,  # -2 < -1
        "margin": 2.0,
        "logp_better": -4.0,
    }
    assert (score.got, score.expected, score.margin) == ("it", "it", 2.0)
    score = task.score(item, _answered((-9.0, 3), (-6.0, 1)))
    assert score.metrics["prefers_better"] == 0.0
    assert (score.got, score.margin) == ("is it so", 3.0)


def test_margins_that_have_risen_are_counted():
    compared = paired({"a": -3.0, "b": 2.0, "c": 5.0}, {"a": -1.0, "b": 2.0, "c": 4.0})
    assert (compared.rose, compared.n, compared.gained) == (1, 3, None)


def test_without_a_usable_row_it_is_refused(tmp_path):
    path = tmp_path / "pairs.jsonl"
    path.write_text(json.dumps(ROWS[1]) + "\n")
    with pytest.raises(DataError, match="nothing to evaluate: 1 rows, none usable"):
        PreferenceEvaluation(data_path=str(path)).items()


def _answered(*sums_and_tokens):
    return Likelihoods(tuple(Likelihood(total, False, n) for total, n in sums_and_tokens))
