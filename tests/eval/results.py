"""Rows and reports for tests, with only what a test is about written out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from xtune.eval.loss_curve import LossCurve
from xtune.eval.result import EvaluationResult, EvaluationRow, Report

__all__ = ["report", "row"]

_ROW = EvaluationRow(
    request="301 miles in km?",
    expected='{"name": "convert", "arguments": {"value": 301}}',
    got="484",
    kind="convert",
    needs_call=True,
    right=False,
)


def row(**changes: Any) -> EvaluationRow:
    """A row that is wrong, with `changes`."""
    return replace(_ROW, **changes)


def report(before: list[EvaluationRow], after: list[EvaluationRow], **changes: Any) -> Report:
    """A report of these rows, with a loss curve of two steps."""
    fields: dict[str, Any] = {
        "title": "What demo has learnt",
        "model": "smollm2",
        "trained": "work_dirs/demo/adapter",
        "date": "2026-11-23 12:00",
        "before": EvaluationResult(rows=before),
        "after": EvaluationResult(rows=after),
        "curve": LossCurve({1: 2.0, 2: 1.0}, {2: 1.5}),
    }
    return Report(**(fields | changes))
