"""Results for tests, with only what a test is about written out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from xtune.eval.comparison import Comparison
from xtune.eval.loss_curve import LossCurve
from xtune.eval.results import ItemResult, Results, TaskResult

__all__ = ["comparison", "results", "row", "task_result"]

_ROW = ItemResult(
    task="quiz",
    id="0",
    group="convert",
    where="rows.jsonl:1",
    question="301 miles in km?",
    options=["301", "484"],
    expected="484",
    got="301",
    metrics={"acc": 0.0},
    raw=[{"log_prob": -1.0, "greedy": True, "tokens": 1}],
)


def row(**changes: Any) -> ItemResult:
    """A row that is wrong, with `changes`; `right=True` makes it right."""
    if "right" in changes:
        changes["metrics"] = {"acc": float(changes.pop("right"))}
    return replace(_ROW, **changes)


def task_result(rows: list[ItemResult], **changes: Any) -> TaskResult:
    """What a task has found; the rows are numbered."""
    fields: dict[str, Any] = {
        "task": "quiz",
        "headline": "acc",
        "lower_is_better": False,
        "ability": "exam",
        "chance": 0.25,
        "settings": {"form": "chat", "shots_shown": 0, "scoring": "option_letter"},
        "first_prompt": "Question: 301 miles in km?",
        "of": len(rows),
    }
    fields |= changes
    name = fields["task"]
    numbered = [replace(each, id=str(at), task=name) for at, each in enumerate(rows)]
    return TaskResult(rows=numbered, **fields)


def results(rows: list[ItemResult], name: str = "smollm2", **changes: Any) -> Results:
    """The result of one task."""
    task = task_result(rows, **changes)
    run = {"date": "2026-11-23 12:00", "seconds": 1.0}
    return Results(name, {"weights": "ab"}, {task.task: task}, {"xtune": "0.1.0"}, run)


def comparison(before: list[ItemResult], after: list[ItemResult], **changes: Any) -> Comparison:
    """Two results of these rows, with a loss curve of two steps."""
    fields: dict[str, Any] = {
        "title": "What demo has learnt",
        "before": results(before),
        "after": results(after, "smollm2 + work_dirs/demo/adapter"),
        "curve": LossCurve({1: 2.0, 2: 1.0}, {2: 1.5}),
    }
    return Comparison(**(fields | changes))
