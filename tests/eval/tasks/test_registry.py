"""Every task says what it is, and listing them needs no torch."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from typing import get_args

import pytest

from xtune.eval.radar import ABILITIES
from xtune.eval.tasks.base import Form, Task
from xtune.registry import EVALUATIONS, names, resolve

TASKS = [
    task
    for task in (resolve(EVALUATIONS, name) for name in names(EVALUATIONS))
    if isinstance(task, type) and issubclass(task, Task)
]
OF_ISSUE_20 = {
    *("agieval", "arc_challenge", "arc_easy", "boolq", "ceval", "cmmlu", "csl", "hellaswag"),
    *("mmlu", "own_file", "perplexity", "piqa", "race", "truthfulqa", "winogrande"),
    *("bbh", "cmrc", "gsm8k", "humaneval", "ifeval", "math", "mbpp", "mmlu_pro", "nq_open"),
    *("needle", "triviaqa", "xsum"),
}

every_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.__name__)


def test_all_benchmarks_are_there_and_no_name_stands_twice():
    found = [task.name for task in TASKS]
    assert set(found) >= OF_ISSUE_20
    assert len(found) == len(set(found))


@every_task
def test_a_task_is_registered_by_its_class_and_named_for_the_command_line(task):
    assert EVALUATIONS.module_dict[task.__name__] is task
    assert re.fullmatch(r"[a-z][a-z0-9_]*", task.name)
    assert task.headline
    assert task.scoring
    assert task.ability is None or task.ability in ABILITIES
    assert task.forms
    assert set(task.forms) <= set(get_args(Form))
    assert not inspect.isabstract(task)


@every_task
def test_a_task_says_its_form_shots_scoring_and_source(task):
    said = inspect.getmodule(task).__doc__
    for part in ("Form", "Shots", "Scoring", "Source"):
        assert re.search(rf"\b{part}:\s", said), f"{task.__module__} does not say its {part}"
    assert task.__doc__


@every_task
def test_a_task_is_made_by_keywords_alone(task):
    kinds = {one.kind for one in inspect.signature(task).parameters.values()}
    assert kinds <= {inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD}


def test_tasks_import_neither_torch_nor_transformers():
    code = (
        "import importlib, pkgutil, sys; import xtune.eval.tasks as tasks\n"
        "for one in pkgutil.iter_modules(tasks.__path__):\n"
        "    importlib.import_module(f'xtune.eval.tasks.{one.name}')\n"
        "print(sorted({'torch', 'transformers', 'datasets', 'pyarrow'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
