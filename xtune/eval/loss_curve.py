"""The losses that a run wrote to its metrics.jsonl."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import NamedTuple

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
    curve = LossCurve({}, {}, {})
    file = work_dir / "metrics.jsonl"
    if not file.is_file():
        return curve
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            record = json.loads(line)
            step = int(record["step"])
        except (ValueError, KeyError, TypeError):
            continue
        measured = {n.removeprefix("eval/") for n in record if n.startswith("eval/")}
        tasks = [(f"eval/{name}", curve.tasks.setdefault(name, {})) for name in measured]
        for name, losses in (("loss", curve.train), ("val_loss", curve.val), *tasks):
            value = record.get(name)
            if isinstance(value, (int, float)) and math.isfinite(value):
                losses[step] = float(value)
    return curve
