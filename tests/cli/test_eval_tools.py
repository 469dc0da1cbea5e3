"""`xtune eval-tools` on the parrot, which knows one call and some plain answers."""

from __future__ import annotations

import json

import pytest

from xtune.cli.entry import main

CONVERT = {"name": "convert", "parameters": {"properties": {"value": {"type": "number"}}}}


def write(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)


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
    words = ["eval-tools", str(parrot_folder), rows, "--out", str(out), "--max-new-tokens", "64"]
    assert main(words) == 0
    shown, notes = capsys.readouterr()
    results = json.loads((out / "results.json").read_text())
    assert results["measures"]["tool"] == {"right": 2, "total": 3}
    assert results["measures"]["arguments"]["right"] == 1
    assert results["measures"]["readable"]["right"] == 5
    assert results["no_needless_calls"] == {"right": 1, "total": 2, "rate": 0.5}
    assert (results["format"], results["skipped"], len(results["unusable"])) == ("openai", 1, 1)
    assert [row["right"] for row in results["rows"]] == [True, False, False, True, False]
    assert "5 rows measured, 1 unusable" in shown
    assert "1 of 2" in shown
    assert "rows.jsonl:6: " in shown.replace("\n", "")
    assert "no place for tools" in notes


def test_bfcl_with_its_answers_and_fewer_rows(parrot_folder, tmp_path, capsys):
    question = {"question": [[{"role": "user", "content": "x"}]], "function": [CONVERT]}
    data = write(tmp_path / "q.json", [{"id": f"simple_{at}", **question} for at in range(4)])
    truth = [
        {"id": f"simple_{at}", "ground_truth": [{"convert": {"value": [at]}}]} for at in (1, 2)
    ]
    answers = write(tmp_path / "a.json", truth)
    words = ["eval-tools", str(parrot_folder), data, "--answers", answers, "--rows", "1"]
    assert main([*words, "--max-new-tokens", "3", "--batch-size", "1"]) == 0
    assert "1 rows measured, 2 unusable" in capsys.readouterr().out


def test_requests_that_do_not_fit_are_unusable(parrot_folder, tmp_path, capsys):
    question = {"question": [[{"role": "user", "content": "x" * 9000}]], "function": [CONVERT]}
    data = write(tmp_path / "q.jsonl", [{"id": "irrelevance_0", **question}])
    assert main(["eval-tools", str(parrot_folder), data]) == 1
    assert "no request fits the model" in capsys.readouterr().err


def test_functions_of_their_own_file_and_nothing_run(parrot_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bad = "__import__('os').system('touch pwned')"
    data = write(tmp_path / "r.jsonl", [{"Input": "x", "Output": o} for o in (bad, "f(1)")])
    tools = write(tmp_path / "t.jsonl", [{"function_calls": "f(x: int)", "descriptions": "Do."}])
    words = ["eval-tools", str(parrot_folder), data, "--tools", tools, "--max-new-tokens", "3"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "1 rows measured, 1 unusable" in out
    assert "__import__" in out
    assert not (tmp_path / "pwned").exists()
    assert main(words[:3]) == 1  # no functions: no usable row
    assert "--tools FILE" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["x", "{rows}", "--rows", "0"], "--rows 0: give 1 or more"),
        (["x", "{rows}", "--format", "tau"], "invalid choice: 'tau'"),
        (["x", "{odd}"], "What each needs"),
        (["x", "{rows}", "--answers", "{rows}"], "--answers is for the format bfcl"),
        (["{folder}", "{rows}", "--work-dir", "w"], "is a model"),
        (["{folder}", "{rows}", "--adapter", "nowhere"], "no adapter folder 'nowhere'"),
        (["no_such.py", "{rows}"], "no config file 'no_such.py'"),
    ],
)
def test_misuse(words, said, rows, tmp_path, capsys):
    odd = write(tmp_path / "odd.jsonl", [{"a": 1}])
    words = [word.format(rows=rows, odd=odd, folder=tmp_path) for word in words]
    assert main(["eval-tools", *words]) == 2
    assert said in capsys.readouterr().err


def test_an_untrained_config_says_to_train(rows, tmp_path, capsys):
    words = ["smollm2_135m_lora_toolcall", rows, "--work-dir", str(tmp_path / "none")]
    assert main(["eval-tools", *words]) == 1
    assert "train first" in capsys.readouterr().err
