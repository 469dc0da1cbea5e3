"""What a folder holds of earlier measurements is kept: next to the new ones, or set aside."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from xtune.errors import DataError
from xtune.eval.result_files import read_results
from xtune.eval.results import Results, TaskResult

__all__ = ["keep_earlier", "set_aside"]

logger = logging.getLogger(__name__)

_MODEL = ("weights", "tokenizer", "template", "dtype", "quantization")  # what makes it the same
_FILES = ("results.json", "items.jsonl", "report.html", "report.png", "report.md")


def keep_earlier(results: Results, folder: Path) -> None:
    """Let nothing that a folder holds be lost when results are written into it.

    Other tasks of the same model join the results. What would be replaced, since it is of another
    model or was asked otherwise, is set aside.

    Args:
        results: that will be written; gets the tasks that are kept.
        folder: where to.
    """
    if not (folder / "results.json").is_file():
        return
    try:
        earlier = read_results(folder)
    except DataError:  # a comparison, or of another version
        set_aside(folder, "they are of another kind")
        return
    if any(earlier.model.get(key) != results.model.get(key) for key in _MODEL):
        set_aside(folder, "they are of other weights, or of the same loaded otherwise")
        return
    both = [name for name in results.tasks if name in earlier.tasks]
    changed = [name for name in both if _how(earlier[name]) != _how(results[name])]
    if changed:
        set_aside(folder, f"{', '.join(changed)} was asked otherwise there")
    results.tasks |= {
        name: task for name, task in earlier.tasks.items() if name not in results.tasks
    }


def set_aside(folder: Path, why: str) -> None:
    """Move the results that a folder holds to earlier/1 in it, or the next number, and say so.

    Args:
        folder: that holds results.
        why: for the reader, a clause.
    """
    number = 1
    while (aside := folder / "earlier" / str(number)).exists():
        number += 1
    aside.mkdir(parents=True)
    for name in _FILES:
        if (folder / name).exists():
            (folder / name).replace(aside / name)
    logger.warning("the results that were in %s are in %s now: %s", folder, aside, why)


def _how(task: TaskResult) -> Any:
    """How a task was asked: what the files say of it."""
    settings = {key: value for key, value in task.settings.items() if key != "token_budget"}
    return json.loads(json.dumps([settings, len(task.rows)]))
