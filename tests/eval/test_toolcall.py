"""The evaluation of a model whose every answer is known."""

from __future__ import annotations

import json

import pytest

from tests.parrot import LINES
from xtune.errors import DataError
from xtune.eval.evaluate import measure
from xtune.eval.subject import Subject
from xtune.eval.tasks.toolcall import ToolCallEvaluation
from xtune.models import load_model, load_tokenizer
from xtune.registry import EVALUATIONS, build

CALL = '{"name": "convert", "arguments": {"value": 301}}'


def write_rows(path, rows):
    lines = [
        {
            "messages": [
                {"role": "user", "content": request},
                {"role": "assistant", "content": answer},
            ],
            "kind": kind,
        }
        for request, answer, kind in rows
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return str(path)


@pytest.fixture(scope="module")
def subject(parrot_folder):
    return Subject(
        load_model(str(parrot_folder)), load_tokenizer(str(parrot_folder)), has_dialogues=True
    )


def result(subject, task, **settings):
    return measure(subject, {"toolcall": task}, **settings)["toolcall"]


def test_right_and_wrong(subject, tmp_path):
    rows = [
        ("301 miles in km?", CALL, "convert"),
        ("Who are you?", CALL, "who"),
        ("Bye", "Any words will do.", "no_tool"),
        ("301 miles in km?", "No call was needed.", "no_tool"),
    ]
    seen = []
    cfg = {"type": "ToolCallEvaluation", "data_path": write_rows(tmp_path / "rows.jsonl", rows)}
    found = result(
        subject,
        build(EVALUATIONS, cfg),
        on_progress=lambda task, done, total: seen.append((task, done, total)),
    )
    assert [each.metrics["right"] for each in found.rows] == [1, 0, 1, 0]
    assert [each.got for each in found.rows] == [CALL, "A parrot.", "Bye!", CALL]
    assert [each.group for each in found.rows] == ["convert", "who", "no_tool", "no_tool"]
    assert [each.where.rpartition("/")[2] for each in found.rows][:2] == [
        "rows.jsonl:1",
        "rows.jsonl:2",
    ]
    assert str(found.measured("exact_calls")) == "1 of 2 (50 %)"
    assert str(found.measured("no_needless_calls")) == "1 of 2 (50 %)"
    assert seen == [("toolcall", done, 3) for done in (1, 2, 3)]  # two rows ask the same


def test_fewer_rows_are_spread_over_the_data(subject, tmp_path):
    rows = [(LINES[at // 2][0], "x", str(at)) for at in range(8)]
    task = ToolCallEvaluation(data_path=write_rows(tmp_path / "rows.jsonl", rows))
    found = result(subject, task, rows=4)
    assert [each.group for each in found.rows] == ["0", "2", "4", "6"]
    assert found.warnings == ["4 of 8 items, evenly spaced: a partial result"]
    assert len(result(subject, task, rows=100).rows) == 8


def test_unusable_rows_are_counted_and_none_left_is_an_error(subject, tmp_path):
    rows = [("Bye", "", "empty"), ("Bye", "Bye!", "fine")]
    task = ToolCallEvaluation(data_path=write_rows(tmp_path / "rows.jsonl", rows))
    found = result(subject, task)
    assert (found.settings["rows_skipped"], len(found.rows)) == (1, 1)
    task = ToolCallEvaluation(data_path=write_rows(tmp_path / "rows.jsonl", rows[:1]))
    with pytest.raises(DataError, match="nothing to evaluate: 1 rows"):
        task.items()


def test_a_row_of_another_format_is_named(tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"instruction": "x", "output": "y"}\n')
    task = ToolCallEvaluation(data_path=str(tmp_path / "rows.jsonl"))
    with pytest.raises(DataError, match=r"rows\.jsonl:1: .*'messages'.*'instruction'"):
        task.items()


def test_the_demos_held_out_rows(subject):
    task = ToolCallEvaluation(data_path="toolcall", max_new_tokens=2)
    found = result(subject, task, rows=18)
    assert set(found.groups) >= {"convert", "no_tool"}
    assert found.measured("exact_calls").mean == 0
    assert all(("exact_calls" in row.metrics) == (row.group != "no_tool") for row in found.rows)
