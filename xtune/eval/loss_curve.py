"""The losses that a run wrote to its metrics.jsonl."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from xtune.engine.metrics_file import METRICS, Curve, MetricsFile

__all__ = ["LossCurve", "read_loss_curve"]


class LossCurve(NamedTuple):
    """Numbers by optimizer step: the loss `train` of each step, and `val` where it was measured.

    `tasks` are the headlines of what was evaluated meanwhile, by task.
    """

    train: dict[int, float]
    val: dict[int, float]
    tasks: dict[str, dict[int, float]] = {}  # noqa: RUF012 - nobody fills it


def read_loss_curve(work_dir: Path) -> LossCurve:
    """Read `work_dir/metrics.jsonl`; both curves are empty where there is none.

    A step that stands there twice was trained again after a resume: the later one counts. A line
    that a killed run left half-written is skipped.
    """
    curves = MetricsFile(work_dir / METRICS).curves()
    evaluated = {name.removeprefix("eval/"): name for name in curves if name.startswith("eval/")}
    return LossCurve(
        _finite(curves.get("loss")),
        _finite(curves.get("val_loss")),
        {task: _finite(curves[name]) for task, name in evaluated.items()},
    )


def _finite(curve: Curve | None) -> dict[int, float]:
    if curve is None:
        return {}
    pairs = zip(curve.steps, curve.values, strict=True)
    return {step: value for step, value in pairs if math.isfinite(value)}
