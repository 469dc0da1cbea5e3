"""`xtune eval` on a run made of the parrot: before it knows nothing, after it knows its lines."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.parrot import LINES
from tests.tiny import write_tiny_llama
from xtune.checkpoint.folder import save_checkpoint
from xtune.cli.entry import main
from xtune.cli.eval import Progress
from xtune.config import render
from xtune.eval.result_files import read_results


@pytest.fixture
def run(tmp_path, parrot_folder):
    """Write a run that trained the whole model; return its config and its work_dir."""
    base = write_tiny_llama(tmp_path / "base", width=64)
    rows = [
        {
            "messages": [
                {"role": "user", "content": request},
                {"role": "assistant", "content": answer},
            ],
            "kind": "call" if answer.startswith("{") else "plain",
        }
        for request, answer in LINES
    ]
    data = tmp_path / "rows.json"
    data.write_text(json.dumps(rows), encoding="utf-8")
    sheet = render(
        "smollm2_135m_full_toolcall",
        [f"pretrained_model_name_or_path='{base}'", f"data_path='{data}'"],
    )
    config = tmp_path / "parrot_run.py"
    config.write_text(sheet.text)
    work_dir = tmp_path / "work_dirs" / "parrot_run"

    def write(folder: Path) -> None:
        AutoModelForCausalLM.from_pretrained(parrot_folder).save_pretrained(folder / "model")
        AutoTokenizer.from_pretrained(parrot_folder).save_pretrained(folder / "model")

    save_checkpoint(work_dir / "checkpoints", 4, write=write, bytes_needed=0, max_keep=1)
    (work_dir / "config.py").write_text(sheet.text)
    (work_dir / "metrics.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n')
    return config, work_dir


def test_before_and_after(run, capsys):
    _, work_dir = run
    assert main(["eval", str(work_dir)]) == 0
    out, err = capsys.readouterr()
    before = read_results(work_dir / "evaluation" / "before")["toolcall"]
    after = read_results(work_dir / "evaluation" / "after")["toolcall"]
    assert str(before.measured("exact_calls")) == "0 of 1 (0 %)"
    assert str(after.measured("exact_calls")) == "1 of 1 (100 %)"
    assert after.measured("no_needless_calls").mean == 1.0
    assert [row.got for row in after.rows] == [answer for _, answer in LINES]
    assert before.settings["form"] == after.settings["form"] == "chat"
    results = json.loads((work_dir / "report" / "results.json").read_text())["tasks"]["toolcall"]
    assert results["paired"]["exact_calls"]["gained"] == 1
    assert "1 of 1 (100 %)" in out
    for name in ("report.html", "report.png", "report.md", "results.json"):
        assert str(work_dir / "report" / name) in out.replace("\n", "")
    assert "before, toolcall: 4 of 4 answered" in err
    assert "after, toolcall: 4 of 4 answered" in err


def test_a_second_call_asks_nothing_and_gives_the_same_files(run, capsys):
    _, work_dir = run
    folder = work_dir / "evaluation" / "after"
    assert main(["eval", str(work_dir)]) == 0
    first = {name: (folder / name).read_bytes() for name in ("items.jsonl", "answers.jsonl")}
    capsys.readouterr()
    assert main(["eval", str(work_dir)]) == 0
    assert {name: (folder / name).read_bytes() for name in first} == first
    assert "answered" not in capsys.readouterr().err


def test_an_older_run_says_what_it_measures_in_test_cfg(run, capsys):
    _, work_dir = run
    config = work_dir / "config.py"
    lines = config.read_text()
    at, end = lines.index("evaluations = ["), lines.index("\n]\n", lines.index("evaluations = ["))
    old = "test_cfg = dict(type='ToolCallEvaluation', data_path=data_path, split='held_out', "
    config.write_text(f"{lines[:at]}{old}batch_size=120, max_new_tokens=40){lines[end + 2 :]}")
    assert main(["eval", str(work_dir)]) == 0
    out = capsys.readouterr().out
    assert "1 of 1 (100 %)" in out
    assert "batch_size=120 is not read any more" in out


def test_a_config_and_where_its_run_is(run, capsys):
    config, work_dir = run
    assert main(["eval", str(config), "--work-dir", str(work_dir), "--rows", "2"]) == 0
    after = read_results(work_dir / "evaluation" / "after")["toolcall"]
    assert (len(after.rows), after.of, after.to_dict()["partial"]) == (2, 4, True)


def test_tasks_of_a_runs_model_once_and_compared(run, tmp_path, capsys):
    config, work_dir = run
    data = str(tmp_path / "rows.json")
    words = ["--tasks", "tool_calls", "--data", data]
    assert main(["eval", str(work_dir), *words]) == 0
    assert "1 of 1 (100 %)" in capsys.readouterr().out
    after = read_results(work_dir / "evaluation")
    assert after["tool_calls"].settings["form"] == "chat"
    base = str(tmp_path / "base")
    assert main(["eval", base, *words, "--out", str(tmp_path / "untrained")]) == 0
    capsys.readouterr()
    both = [str(tmp_path / "untrained"), str(work_dir / "evaluation")]
    assert main(["compare", *both, "--out", str(tmp_path / "compared")]) == 0
    out = capsys.readouterr().out
    assert "tool_calls: 0 got worse, 1 got better" in out
    assert (tmp_path / "compared" / "report.html").is_file()


def test_no_checkpoint_says_to_train_first(run, tmp_path, capsys):
    config, _ = run
    assert main(["eval", str(config), "--work-dir", str(tmp_path / "untrained")]) == 1
    assert "train first" in capsys.readouterr().err
    assert not (tmp_path / "untrained").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["no_such_config"], "no_such_config"),
        (["{folder}"], "no config.py"),
        (["smollm2_135m_lora_toolcall", "--rows", "0"], "--rows 0: give 1 or more"),
        (["smollm2", "--shots", "-1"], "--shots -1: give 0 or more"),
        (["{folder}", "--tasks", "toolcal"], "there is no task 'toolcal'; did you mean 'toolcall'"),
        (["{folder}", "--tasks", "toolcall"], "toolcall needs data_path: --data FOLDER"),
        (["{folder}", "--tasks", "nothing.jsonl"], "there is no file 'nothing.jsonl' of questions"),
        (["{folder}", "--tasks", "my_task.py"], "write my_task.py:Task"),
        (["{base}"], "so name what to measure: --tasks"),
        (["{base}", "--before-after"], "so name what to measure: --tasks"),
        (
            ["{base}", "--before-after", "--tasks", "toolcall", "--data", "toolcall"],
            "--before-after is for an adapter",
        ),
        (["{base}", "--tasks", "toolcall", "--data", "toolcall", "--work-dir", "w"], "is a model"),
        (["smollm2_135m_lora_toolcall", "--adapter", "{folder}"], "holds no adapter_config.json"),
    ],
)
def test_misuse(words, said, tmp_path, inputs, capsys):
    given = (word.format(folder=tmp_path, base=inputs.model) for word in words)
    assert main(["eval", *given]) == 2
    assert said in capsys.readouterr().err


def test_a_config_without_anything_to_measure(run, capsys):
    _, work_dir = run
    config = work_dir / "config.py"
    config.write_text(config.read_text() + "\nevaluations = []\n")
    assert main(["eval", str(work_dir)]) == 2
    assert "no evaluations, so there is nothing to measure" in capsys.readouterr().err


def test_what_to_do_next_is_said(tmp_path, capsys):
    """A judge for answers without a score; the chat form for a model that has a template."""
    base, out = write_tiny_llama(tmp_path / "base"), tmp_path / "out"
    file = tmp_path / "open.jsonl"
    file.write_text('{"question": "Why?"}\n')
    words = ["eval", str(base), "--tasks", str(file), "--out", str(out)]
    words += ["--task-options", "open.max_new_tokens=4"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert f"xtune judge {out / 'items.jsonl'} --judge URL_OR_MODEL" in said
    assert f"{base} has a chat template, and open did not use it: --form chat" in said
    assert main([*words, "--form", "completion"]) == 0
    assert "chat template" not in capsys.readouterr().out


def test_the_table_cuts_no_name_and_shows_shares_in_per_cent(tmp_path, capsys, monkeypatch):
    from tests.eval.results import results, row
    from xtune.cli.eval import _print_results

    monkeypatch.setenv("COLUMNS", "80")
    overall = {"[/red]": 2.0, "acc_social_sciences": 0.3, "share_cut": 1.0, "mean_tokens": 1.0}
    made = results([row(right=True)] * 14042, task="common_knowledge", overall=overall)
    _print_results(made)
    assert "…" not in capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", "100")
    _print_results(made)
    out = capsys.readouterr().out
    cells = [line.split("│") for line in out.split("\n") if line.count("│") > 4]
    lines = {cell[2].strip(): cell[4].strip() for cell in cells}
    assert lines == {
        "acc": "14042 of 14042 (100 %)",
        "[/red]": "2",
        "acc social sciences": "30.0 %",
        "share cut": "100.0 %",
        "mean tokens": "1",
    }


def test_an_error_in_a_task_of_ones_own_is_named_by_its_line(tmp_path, capsys):
    base = write_tiny_llama(tmp_path / "base")
    file = tmp_path / "mine.py"
    file.write_text(
        "from xtune.eval.tasks.choices import LetterTask\n\n\n"
        "class Mine(LetterTask):\n"
        "    name = 'mine'\n\n"
        "    def items(self):\n"
        "        raise RuntimeError('boom')\n"
    )
    assert main(["eval", str(base), "--tasks", f"{file}:Mine", "--out", str(tmp_path)]) == 1
    said = capsys.readouterr().err
    assert f"RuntimeError: boom\nIt comes from {file}:8; --debug" in said


def test_a_slow_evaluation_says_where_it_is_and_a_fast_one_is_brief(capsys):
    now = 0.0
    progress = Progress(lambda: now)
    for done in range(1, 1001):
        now += 0.125
        progress("after", "mmlu", done, 1000)
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "after, mmlu: 1 of 1,000 answered"
    assert said[1] == "after, mmlu: 81 of 1,000 answered, about 0:01:55 left"
    assert len(said) == 14
    progress("after", "gsm8k", 1, 2)  # at once after the other
    now += 3600
    progress("after", "gsm8k", 2, 2)
    assert capsys.readouterr().err == "after, gsm8k: 2 of 2 answered\n"
