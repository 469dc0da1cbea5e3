"""From what a user writes to tasks: names, files of code or of questions, a config's dicts."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from xtune.config.options import parse_value
from xtune.config.signatures import Form
from xtune.errors import RegistryError, UsageError, did_you_mean
from xtune.eval.tasks.base import Task
from xtune.names import Kind, kind_of
from xtune.registry import EVALUATIONS, build, names, resolve

__all__ = ["NOT_THE_TASKS", "accepted", "all_tasks", "build_tasks", "choose_tasks", "labelled"]

OWN_FILE = "own_file"  # the task that reads a user's questions
_QUESTIONS = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".xlsx")
NOT_THE_TASKS = ("every", "rows")  # of an entry in `evaluations`: when it is measured, and on what


def all_tasks() -> dict[str, type[Task]]:
    """Return every task by the name that the command line uses; neither torch is imported."""
    found = (resolve(EVALUATIONS, name) for name in names(EVALUATIONS))
    tasks = {task.name: task for task in found if isinstance(task, type) and issubclass(task, Task)}
    return dict(sorted(tasks.items()))


def accepted(task: type[Task]) -> dict[str, inspect.Parameter]:
    """Return what a task's constructor takes, also what it hands on to its base as **given.

    Args:
        task: a class.
    """
    found: dict[str, inspect.Parameter] = {}
    for each in task.__mro__[:-1]:  # without object
        if "__init__" not in vars(each):
            continue
        own = list(inspect.signature(vars(each)["__init__"]).parameters.values())[1:]
        rest = [one for one in own if one.kind is one.VAR_KEYWORD]
        found |= {one.name: one for one in own if one not in rest and one.name not in found}
        if not rest:
            break
    return found


def choose_tasks(
    words: Sequence[str],
    *,
    data: str | None = None,
    shots: int | None = None,
    run_code: bool = False,
    options: Iterable[str] = (),
) -> dict[str, Task]:
    """Return the tasks that are named, by label.

    Args:
        words: names, as 'mmlu'; 'my_task.py:Task'; 'my_questions.jsonl'.
        data: `data_path` of every task that has one and is named by its name.
        shots: of every task that shows some; None: each its own number.
        run_code: let tasks that ask for programs run them, in the sandbox.
        options: 'mmlu.shots=0' each.

    Raises:
        UsageError: there is no such task or option, or it cannot be made of these.
    """
    known = all_tasks()
    given = _options(options)
    tasks: list[Task] = []
    used: set[str] = set()
    takes_shots = False
    of_data: list[str] = []
    for word in words:
        made_by, arguments, name = _named(word, known)
        parameters = accepted(made_by)
        usual: dict[str, Any] = {"data_path": data, "shots": shots}
        usual |= {"run_code": True} if run_code else {}
        takes_shots |= "shots" in parameters
        for key, value in usual.items():
            if value is not None and key in parameters:
                of_data += [name] if key == "data_path" and key not in arguments else []
                arguments.setdefault(key, value)
        own = given.get(name, {})
        used.add(name)
        for key in own:
            if key not in parameters:
                raise UsageError(
                    f"--task-options {name}.{key}: {name} has no option {key!r}"
                    f"{did_you_mean(key, parameters) or '.'} It has: {', '.join(parameters)}"
                )
        on_a_hub = data and kind_of(data) in (Kind.HUB, Kind.MODELSCOPE)
        if len(of_data) > 1 and on_a_hub and not Path(str(data)).exists():
            raise UsageError(
                f"--data {data} is one data set, and {' and '.join(of_data)} are two: measure them "
                "one by one, or give a folder with the files of both"
            )
        tasks.append(_made(name, made_by, arguments | own))
    if strange := sorted(given.keys() - used):
        near = did_you_mean(strange[0], used) or ";"
        raise UsageError(
            f"--task-options {strange[0]}.…: no such task is measured{near} "
            f"measured are: {', '.join(sorted(used))}"
        )
    if shots is not None and not takes_shots:
        raise UsageError(f"--shots {shots}: {', '.join(words)} shows no examples")
    return labelled(tasks)


def build_tasks(evaluations: Sequence[Mapping[str, Any]]) -> dict[str, Task]:
    """Return the tasks of a sheet's `evaluations`, by label, in their order.

    Args:
        evaluations: dicts with `type`; what NOT_THE_TASKS names is left out.

    Raises:
        ConfigError: there is no such task, or it is none.
    """
    tasks = []
    for cfg in evaluations:
        own = {key: value for key, value in cfg.items() if key not in NOT_THE_TASKS}
        task = build(EVALUATIONS, own)
        if not isinstance(task, Task):
            raise RegistryError(f"{cfg['type']} is no Task: see xtune/eval/tasks/base.py")
        tasks.append(task)
    return labelled(tasks)


def labelled(tasks: Iterable[Task]) -> dict[str, Task]:
    """Return tasks by label: the name, and a number where one is there twice.

    Args:
        tasks: in their order.
    """
    found: dict[str, Task] = {}
    for task in tasks:
        label, number = task.name, 1
        while label in found:
            number += 1
            label = f"{task.name}-{number}"
        found[label] = task
    return found


def _named(word: str, known: Mapping[str, type[Task]]) -> tuple[Any, dict[str, Any], str]:
    """What makes a task, the arguments that the word itself gives, and its name in options."""
    if ".py:" in word:
        made_by = resolve(EVALUATIONS, word)
        if not (isinstance(made_by, type) and issubclass(made_by, Task)):
            raise UsageError(f"{word} is no Task: a class that begins with `class NAME(Task)`")
        return made_by, {}, made_by.name
    if word.endswith(".py"):
        raise UsageError(f"{word!r} names a file and nothing in it: write {word}:Task")
    if Path(word).suffix.lower() in _QUESTIONS:
        if not Path(word).expanduser().is_file():
            raise UsageError(f"there is no file {word!r} of questions")
        return known[OWN_FILE], {"data_path": word}, Path(word).stem.replace("-", "_")
    name = word.lower().replace("-", "_")
    by_class = {task.__name__.lower(): task.name for task in known.values()}
    name = name if name in known else by_class.get(name, name)
    if name not in known:
        if "," in word:
            raise UsageError(f"--tasks {word}: part tasks by blanks: --tasks {_parted(word)}")
        raise UsageError(
            f"there is no task {word!r}{did_you_mean(word, known) or '.'} There are: "
            f"{', '.join(known)}. Your own: my_task.py:Task, or my_questions.jsonl"
        )
    return known[name], {}, name


def _parted(word: str) -> str:
    return " ".join(filter(None, (each.strip() for each in word.split(","))))


def _made(name: str, made_by: Any, arguments: Mapping[str, Any]) -> Task:
    missing = [
        each.name
        for each in accepted(made_by).values()
        if each.default is each.empty and each.name not in arguments
    ]
    if missing:
        way = (
            "--data FOLDER" if missing == ["data_path"] else f"--task-options {name}.{missing[0]}=…"
        )
        raise UsageError(f"{name} needs {' and '.join(missing)}: {way}")
    for misfit in Form(made_by).misfits(arguments):  # a constructor with **given is open
        hint = misfit.hint and f"; {misfit.hint}"
        raise UsageError(
            f"{name}.{misfit.argument} = {arguments.get(misfit.argument)!r}: {misfit.message}{hint}"
        )
    task: Task = made_by(**arguments)
    return task


def _options(words: Iterable[str]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {}
    for word in words:
        key, equals, value = word.partition("=")
        task, dot, name = key.partition(".")
        if not (equals and dot and task and name):
            raise UsageError(f"--task-options {word}: write TASK.OPTION=VALUE, as mmlu.shots=0")
        found.setdefault(task.replace("-", "_"), {})[name] = parse_value(value)
    return found
