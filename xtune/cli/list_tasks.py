"""Print the tasks that a model can be measured by: what each measures, its files, shots, scoring.

xtune list-tasks
xtune list-tasks gsm8k           all that is said of it, and its options
xtune list-tasks -p chinese      tasks with 'chinese' in their name or description
"""

from __future__ import annotations

import argparse
import inspect
import re
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xtune.eval.tasks.base import Task

__all__ = ["add_arguments", "run"]

_SEE = re.compile(r"; see the module( and `\w+`)?")  # for readers of the code


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the verb's arguments."""
    which = parser.add_mutually_exclusive_group()
    which.add_argument("name", nargs="?", help="only this one, with all that is said of it")
    which.add_argument("-p", "--pattern", help="only those whose name or description contains this")


def run(args: argparse.Namespace) -> int:
    """Print a block a task; 1 when the pattern fits none."""
    from xtune.cli.matching import matches, nothing_matches
    from xtune.errors import UsageError, did_you_mean
    from xtune.eval.chosen import all_tasks

    tasks = all_tasks()
    if args.name is not None:
        name = args.name.lower().replace("-", "_")
        if name not in tasks:
            raise UsageError(
                f"there is no task {args.name!r}{did_you_mean(name, tasks) or ';'} there are: "
                f"{', '.join(tasks)}"
            )
        print("\n".join([*_block(tasks[name]), "", _text(tasks[name])]))
        print(f"\nIn a config: evaluations = [dict(type={tasks[name].__name__!r}, …)]")
        return 0
    wanted = args.pattern or ""
    texts = {name: (name, _text(task)) for name, task in tasks.items()}
    found = [tasks[name] for name in tasks if matches(wanted, texts[name])]
    for task in found:
        print("\n".join(_block(task)), end="\n\n")
    if not found:
        short = {name: (text[1].partition("\n")[0],) for name, text in texts.items()}
        print(nothing_matches("task", wanted, short, "xtune list-tasks"), file=sys.stderr)
        return 1
    print(f"{len(found)} tasks. xtune eval MODEL --tasks NAME ... --data FOLDER")
    print("Your own: --tasks my_task.py:Task my_questions.jsonl; see docs/en/evaluation.md")
    return 0


def _block(task: type[Task]) -> list[str]:
    from xtune.eval.chosen import accepted

    parameters = accepted(task)
    shots = parameters["shots"].default if "shots" in parameters else None
    lines = [f"{task.name}  {_text(task).partition(chr(10))[0]}"]
    told: dict[str, Any] = {
        "scoring": f"{task.scoring}, headline {task.headline}; {' or '.join(task.forms)} form",
        "files": _files(task),
        "shots": getattr(task, "usual_shots", None) if shots is None else shots,
        "options": ", ".join(
            each.name if each.default is each.empty else f"{each.name}={each.default!r}"
            for each in parameters.values()
            if each.name != "shots"
        ),
    }
    return lines + [
        f"  {name:<8} {value}" for name, value in told.items() if value not in (None, "")
    ]


def _text(task: type[Task]) -> str:
    """All that is said of it: of its module, where that says more than one class, and its own."""
    module = sys.modules[task.__module__].__doc__ or ""
    own, seen = _SEE.subn("", inspect.getdoc(task) or "")
    return f"{module.strip()}\n\n{own}" if seen else own


def _files(task: type[Task]) -> str:
    """What it looks for below the folder that --data names."""
    text = " ".join((inspect.getdoc(task) or "").split())
    if "Files: " in text:
        return text.partition("Files: ")[2].partition(". ")[0].rstrip(".")
    patterns = [
        name
        for part in getattr(task, "parts", {}).values()
        for name in ((part.patterns,) if isinstance(part.patterns, str) else part.patterns)
    ]
    return ", ".join(dict.fromkeys(patterns))
