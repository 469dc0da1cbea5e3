"""The means of rows, and files that hold what they were made of."""

from __future__ import annotations

import json
import math

import pytest

from tests.eval.results import results, row, task_result
from xtune.errors import DataError, UsageError
from xtune.eval.result_files import read_results, write_results
from xtune.eval.results import Measured


def test_means_are_of_the_rows_that_have_the_metric():
    task = task_result(
        [
            row(group="convert", metrics={"acc": 1.0, "exact": 1.0}),
            row(group="weather", metrics={"acc": 0.0, "exact": 0.0}),
            row(group="convert", metrics={"acc": 0.0, "exact": 0.0}),
            row(group="no_tool", metrics={"acc": 1.0}),
        ]
    )
    assert task.measured() == Measured(0.5, 4, math.sqrt(0.25 / 3), True)
    assert str(task.measured("exact")) == "1 of 3 (33 %)"
    assert task.measured("exact", group="no_tool") == Measured(0.0, 0)
    assert str(Measured(0.0, 0)) == "none"
    assert task.groups == ["convert", "weather", "no_tool"]
    assert task.metrics == ["acc", "exact"]


def test_micro_weighs_items_and_macro_groups():
    rows = [row(group="large", right=True) for _ in range(8)]
    rows += [row(group="small", right=False) for _ in range(2)]
    task = task_result(rows)
    assert task.score == 0.8
    assert task.macro == 0.5
    assert task_result(rows[:8]).macro is None
    plain = task.to_dict()["metrics"]["acc"]
    assert plain == {
        "mean": 0.8,
        "n": 10,
        "stderr": math.sqrt(0.16 / 9),
        "is_share": True,
        "macro": 0.5,
    }


def test_what_a_task_makes_of_all_items_is_its_score():
    task = task_result([row(metrics={"acc": 1.0})], headline="bits", overall={"bits": 0.9})
    assert task.score == 0.9


def test_near_ties_cuts_and_silence_are_counted_and_said():
    text = {"text": "so it", "ended_by": "length", "tokens": 2}
    rows = [
        row(margin=0.009, notes={"letter_mass": 0.02}),
        row(margin=0.011, cut=3),
        row(unanswered=True, raw=[text]),
        row(raw={"log_prob": -4.0, "tokens": 2}),
    ]
    task = task_result(rows, of=8, notices=["a partial copy"])
    assert (task.near_ties, task.cut, task.unanswered, task.cut_answers) == (1, 1, 1, 1)
    assert task.warnings == [
        "a partial copy",
        "the letters have 2 % of the probability where they are read: the model would write "
        "something else there, such as 'The answer is'",
        "1 prompt is longer than the model's context: cut at the left",
        "1 answer was ended by the limit of new tokens",
        "4 of 8 items, evenly spaced: a partial result",
    ]


def test_files_give_back_what_they_were_made_of(tmp_path):
    made = results(
        [
            row(got="é 🦜 \ud800"),
            row(got="a\u2028b\x85c\x0bd"),
            row(right=True, options=["甲", "乙"]),
        ]
    )
    made["quiz"].attachments["submission.json"] = {"art": {"0": "A"}}
    path = write_results(made, tmp_path / "a" / "b")
    read = read_results(path.parent)
    assert read.to_dict() == made.to_dict()
    assert read["quiz"].rows == made["quiz"].rows
    assert "甲" in (path.parent / "items.jsonl").read_text(encoding="utf-8")
    assert json.loads((path.parent / "submission.json").read_text()) == {"art": {"0": "A"}}
    assert read_results(path).name == "smollm2"


def test_what_are_no_results(tmp_path):
    with pytest.raises(UsageError, match=r"has no results\.json"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text('{"format_version": 1}')
    with pytest.raises(DataError, match="of format 1"):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text('{"name": 1}')
    with pytest.raises(DataError, match="cannot be read as results"):
        read_results(tmp_path)
