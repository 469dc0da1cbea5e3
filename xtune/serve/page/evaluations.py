"""What `xtune eval`, `compare`, `judge` and `score` have left below a folder: headlines and pages.

results.json of    has                           its headlines
eval               tasks, model                  the score of each task
compare            tasks with before and after   both of each task
judge              verdicts                      the mean score or win rate of each model
score              kind and reading              how often the better answer has more
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from xtune.serve.page.run_folder import number_or_none, within

__all__ = ["evaluations_below"]

_DEEPEST = 3  # run/evaluation/after, evaluation/mine/earlier
_NOT_LOOKED_INTO = {"checkpoints", "previous", "tensorboard", "chat_samples"}
_LARGEST = 64 * 2**20  # bytes of a results.json


def evaluations_below(folder: Path, root: Path) -> Iterator[dict[str, Any]]:
    """Yield what each evaluation says of itself.

    Args:
        folder: that is looked into.
        root: from which on an evaluation's `id` names its folder.
    """
    for path, folders, files in os.walk(folder):  # follows no links
        here = Path(path)
        deep = len(here.relative_to(folder).parts)
        hidden = {name for name in folders if name.startswith(".")}
        folders[:] = sorted(set(folders) - _NOT_LOOKED_INTO - hidden) if deep < _DEEPEST else []
        if "results.json" not in files and "report.html" not in files:
            continue
        found = _described(here)
        if found is not None:
            yield {"id": here.relative_to(root).as_posix(), **found}


def _described(folder: Path) -> dict[str, Any] | None:
    page = within(folder, "report.html")
    values = _values(within(folder, "results.json"))
    about: dict[str, Any] = {"kind": "unknown", "title": "", "date": None, "scores": []}
    try:
        if values is not None:
            about |= _read(values)
    except (KeyError, TypeError, ValueError, AttributeError):  # of another version
        about["kind"] = "unknown"
    if values is None and page is None:
        return None
    return {**about, "has_page": page is not None and page.is_file()}


def _values(file: Path | None) -> Mapping[str, Any] | None:
    if file is None or not file.is_file() or file.stat().st_size > _LARGEST:
        return None
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None


def _read(values: Mapping[str, Any]) -> dict[str, Any]:
    if "verdicts" in values:
        return {
            "kind": "judgement",
            "title": " / ".join(each["model"] for each in values["answers"]),
            "date": values.get("date"),
            "scores": [
                _score(each["model"], values["ask"], after=each["micro"])
                for each in values["scores"]
            ],
        }
    if "reading" in values:
        accuracy = values.get("accuracy")
        return {
            "kind": "scores",
            "title": f"{values['model']} · {values['data']}",
            "date": values.get("date"),
            "scores": []
            if accuracy is None
            else [_score(values["kind"], "right", after=accuracy["right"], n=accuracy["pairs"])],
        }
    is_comparison = "before" in values
    tasks = [
        _score(
            name,
            task["headline"],
            before=task["before"] if is_comparison else None,
            after=task["after"] if is_comparison else task["score"],
            n=task["n"],
        )
        for name, task in values["tasks"].items()
    ]
    return {
        "kind": "comparison" if is_comparison else "measurement",
        "title": values["title"] if is_comparison else values["name"],
        "date": values["date"] if is_comparison else values["run"].get("date"),
        "scores": tasks,
    }


def _score(
    name: str, metric: str, *, before: Any = None, after: Any, n: int | None = None
) -> dict[str, Any]:
    return {
        "name": str(name),
        "metric": str(metric),
        "before": number_or_none(before),
        "after": number_or_none(after),
        "n": n,
    }
