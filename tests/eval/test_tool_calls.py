"""`tool_calls` on the parrot, which knows one call and some plain answers."""

from __future__ import annotations

import json

import pytest

from xtune.cli.entry import main
from xtune.eval.results import read_results

CONVERT = {"name": "convert", "parameters": {"properties": {"value": {"type": "number"}}}}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


def evaluate(model, data, out, *options):
    words = ["eval", str(model), "--tasks", "tool_calls", "--data", data, "--out", str(out)]
    return main([*words, *(("--task-options", *options) if options else ())])


@pytest.fixture
def rows(tmp_path):
    """Rows of our own without tools, since the parrot knows its requests letter by letter."""
    call = '{"name": "convert", "arguments": {"value": %s}}'
    pairs = [
        ("301 miles in km?", call % "301.0", "right"),
        ("301 miles in km?", call % "302", "wrong"),
        ("Who are you?", call % "1", "wrong"),
        ("Bye", "Any words.", "plain"),
        ("301 miles in km?", "Any words.", "plain"),
    ]
    made = [
        {"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}],
         "kind": kind}
        for q, a, kind in pairs
    ]  # fmt: skip
    return write(tmp_path / "rows.jsonl", [*made, {"messages": made[0]["messages"][:1]}])


def test_table_and_results(rows, parrot_folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert evaluate(parrot_folder, rows, out, "tool_calls.max_new_tokens=64") == 0
    shown = capsys.readouterr().out
    task = read_results(out)["tool_calls"]
    assert str(task.measured("tool")) == "2 of 3 (67 %)"
    assert str(task.measured("arguments")) == "1 of 3 (33 %)"
    assert str(task.measured("readable")) == "5 of 5 (100 %)"
    assert str(task.measured("no_needless_calls")) == "1 of 2 (50 %)"
    assert [row.metrics["right"] for row in task.rows] == [1, 0, 0, 1, 0]
    assert task.settings["format"] == "openai"
    (unusable,) = task.settings["unusable"]
    assert "rows.jsonl:6: " in unusable
    assert unusable.replace("\n", "") in shown.replace("\n", "")
    assert all("no place for tools" in row.notes["notice"] for row in task.rows)


def test_bfcl_with_its_answers_and_fewer_rows(parrot_folder, tmp_path):
    question = {"question": [[{"role": "user", "content": "x"}]], "function": [CONVERT]}
    data = write(tmp_path / "q.json", [{"id": f"simple_{at}", **question} for at in range(4)])
    truth = [
        {"id": f"simple_{at}", "ground_truth": [{"convert": {"value": [at]}}]} for at in (1, 2)
    ]
    answers = write(tmp_path / "a.json", truth)
    words = ["eval", str(parrot_folder), "--tasks", "tool_calls", "--data", data, "--rows", "1"]
    options = [f"tool_calls.answers={answers}", "tool_calls.max_new_tokens=3"]
    assert main([*words, "--out", str(tmp_path / "out"), "--task-options", *options]) == 0
    task = read_results(tmp_path / "out")["tool_calls"]
    assert (len(task.rows), task.of, len(task.settings["unusable"])) == (1, 2, 2)


def test_requests_that_do_not_fit_are_not_measured(parrot_folder, tmp_path, capsys):
    question = {"question": [[{"role": "user", "content": "x" * 9000}]], "function": [CONVERT]}
    data = write(tmp_path / "q.jsonl", [{"id": "irrelevance_0", **question}])
    assert evaluate(parrot_folder, data, tmp_path / "out") == 1
    err = capsys.readouterr().err
    assert "tool_calls: no item can be measured" in err
    assert "the model's context 2048" in err


def test_functions_of_their_own_file_and_nothing_run(parrot_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bad = "__import__('os').system('touch pwned')"
    data = write(tmp_path / "r.jsonl", [{"Input": "x", "Output": o} for o in (bad, "f(1)")])
    tools = write(tmp_path / "t.jsonl", [{"function_calls": "f(x: int)", "descriptions": "Do."}])
    options = [f"tool_calls.tools={tools}", "tool_calls.max_new_tokens=3"]
    assert evaluate(parrot_folder, data, tmp_path / "out", *options) == 0
    task = read_results(tmp_path / "out")["tool_calls"]
    assert len(task.rows) == 1
    assert "__import__" in task.settings["unusable"][0]
    assert not (tmp_path / "pwned").exists()
    assert evaluate(parrot_folder, data, tmp_path / "out") == 1  # no functions: no usable row
    assert "tool_calls.tools" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("data", "options", "said"),
    [
        ("{rows}", ["tool_calls.format=tau"], "tool_calls.format = 'tau': must be"),
        ("{odd}", [], "What each needs"),
        ("{rows}", ["tool_calls.answers={rows}"], "tool_calls.answers is for the format bfcl"),
        ("{rows}", ["tool_calls.anwsers=x"], "did you mean 'answers'?"),
        ("{rows}", ["mmlu.shots=0"], "no such task is measured"),
        ("{rows}", ["answers"], "write TASK.OPTION=VALUE"),
    ],
)
def test_misuse(data, options, said, rows, tmp_path, capsys):
    odd = write(tmp_path / "odd.jsonl", [{"a": 1}])
    words = [word.format(rows=rows, odd=odd) for word in (data, *options)]
    assert evaluate(tmp_path, words[0], tmp_path / "out", *words[1:]) == 2
    assert said in capsys.readouterr().err
