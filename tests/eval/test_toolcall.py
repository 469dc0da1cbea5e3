"""The evaluation of a model whose every answer is known."""

from __future__ import annotations

import json

import pytest

from tests.parrot import LINES
from xtune.errors import DataError
from xtune.eval.toolcall import ToolCallEvaluation
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
def model(parrot_folder):
    return load_model(str(parrot_folder)), load_tokenizer(str(parrot_folder))


def test_right_and_wrong(model, tmp_path):
    rows = [
        ("301 miles in km?", CALL, "convert"),
        ("Who are you?", CALL, "who"),
        ("Bye", "Any words will do.", "no_tool"),
        ("301 miles in km?", "No call was needed.", "no_tool"),
    ]
    seen = []
    evaluation = build(
        EVALUATIONS,
        {
            "type": "ToolCallEvaluation",
            "data_path": write_rows(tmp_path / "rows.jsonl", rows),
            "batch_size": 3,
        },
    )
    result = evaluation.run(*model, on_progress=lambda done, total: seen.append((done, total)))
    assert [each.right for each in result.rows] == [True, False, True, False]
    assert [each.needs_call for each in result.rows] == [True, True, False, False]
    assert [each.got for each in result.rows] == [CALL, "A parrot.", "Bye!", CALL]
    assert [each.kind for each in result.rows] == ["convert", "who", "no_tool", "no_tool"]
    assert str(result.exact_calls) == "1 of 2 (50 %)"
    assert str(result.no_needless_calls) == "1 of 2 (50 %)"
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]  # as they end


def test_fewer_rows_are_spread_over_the_data(model, tmp_path):
    rows = [(LINES[at // 2][0], "x", str(at)) for at in range(8)]
    evaluation = ToolCallEvaluation(data_path=write_rows(tmp_path / "rows.jsonl", rows))
    result = evaluation.run(*model, max_rows=4)
    assert [each.kind for each in result.rows] == ["0", "2", "4", "6"]
    assert len(evaluation.run(*model, max_rows=100).rows) == 8


def test_unusable_rows_are_counted_and_none_left_is_an_error(model, tmp_path):
    rows = [("Bye", "", "empty"), ("Bye", "Bye!", "fine")]
    evaluation = ToolCallEvaluation(data_path=write_rows(tmp_path / "rows.jsonl", rows))
    result = evaluation.run(*model)
    assert (result.skipped, len(result.rows)) == (1, 1)
    evaluation = ToolCallEvaluation(data_path=write_rows(tmp_path / "rows.jsonl", rows[:1]))
    with pytest.raises(DataError, match="nothing to evaluate: 1 rows"):
        evaluation.run(*model)


def test_a_row_of_another_format_is_named(model, tmp_path):
    (tmp_path / "rows.jsonl").write_text('{"instruction": "x", "output": "y"}\n')
    evaluation = ToolCallEvaluation(data_path=str(tmp_path / "rows.jsonl"))
    with pytest.raises(DataError, match=r"rows\.jsonl:1: .*'messages'.*'instruction'"):
        evaluation.run(*model)


def test_the_demos_held_out_rows(model):
    evaluation = ToolCallEvaluation(data_path="toolcall", max_new_tokens=2, batch_size=16)
    result = evaluation.run(*model, max_rows=18)
    assert set(result.by_kind) >= {"convert", "no_tool"}
    assert result.exact_calls.right == 0
    assert all(row.needs_call == (row.kind != "no_tool") for row in result.rows)
