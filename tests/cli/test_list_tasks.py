"""`xtune list-tasks`: what each task measures, and that it is immediate."""

from __future__ import annotations

import subprocess
import sys

import pytest

from xtune.cli.entry import main
from xtune.eval.chosen import accepted, all_tasks
from xtune.eval.radar import ABILITIES

LIBRARIES = {"torch", "transformers", "tokenizers", "peft", "datasets", "pyarrow", "pandas"}


def test_each_task_has_a_block(capsys):
    assert main(["list-tasks"]) == 0
    out = capsys.readouterr().out
    for name, task in all_tasks().items():
        assert f"\n{name}  " in f"\n{out}"
        assert f"  scoring  {task.scoring}, headline {task.headline}; " in out
    assert f"{len(all_tasks())} tasks." in out


def test_one_task_says_all_of_itself(capsys):
    assert main(["list-tasks", "tool-calls"]) == 0
    out = capsys.readouterr().out
    assert "max_new_tokens=256" in out
    assert "toolbench   conversations of {from, value}" in out
    assert "evaluations = [dict(type='ToolCalls', …)]" in out


@pytest.mark.parametrize("name", all_tasks())
def test_nothing_is_said_to_readers_of_the_code(name, capsys):
    assert main(["list-tasks", name]) == 0
    out = capsys.readouterr().out
    assert "see the module" not in out
    assert "SubjectExam" not in out


def test_a_pattern_and_what_is_misspelt(capsys):
    assert main(["list-tasks", "-p", "chinese"]) == 0
    assert "\nmmlu  " not in f"\n{capsys.readouterr().out}"
    assert main(["list-tasks", "-p", "qqq"]) == 1
    assert main(["list-tasks", "mmul"]) == 2
    assert "there is no task 'mmul'; did you mean 'mmlu'?" in capsys.readouterr().err


@pytest.mark.parametrize("name", all_tasks())
def test_a_task_is_made_of_keywords_and_says_where_it_counts(name):
    task = all_tasks()[name]
    assert task.ability is None or task.ability in ABILITIES
    assert all(one.kind is one.KEYWORD_ONLY for one in accepted(task).values())
    assert (task.__doc__ or "").strip()


def test_no_library_is_imported():
    code = (
        "import sys; from xtune.cli.entry import main; code = main(['list-tasks', 'mmlu']);"
        f"print(sorted({LIBRARIES} & set(sys.modules)), code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[] 0", done.stderr
