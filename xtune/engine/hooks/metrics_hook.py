"""work_dir/metrics.jsonl: a line of numbers a step, for any program to read."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from xtune.engine.hooks.base import Hook
from xtune.engine.metrics_file import METRICS
from xtune.registry import HOOKS

if TYPE_CHECKING:
    from xtune.engine.run import Run

__all__ = ["MetricsHook"]


@HOOKS.register_module()
class MetricsHook(Hook):
    """Writes one JSON object a step.

        step             optimizer steps done, 1 for the first
        loss             mean over the step's trained tokens
        val_loss         only on lines where it was measured, and so is val_ with the name of
                         whatever else the algorithm measures
        lr               the base learning rate times the schedule
        grad_norm        before clipping
        tokens           seen since the beginning of the run, trained_tokens those with a label
        tokens_per_s     of this step and all devices, trained_tokens_per_s likewise
        tokens_per_s_per_device   where there are several
        tflops_per_device   10^12 FLOPs a second that training cannot do without; nothing that is
                         recomputed counts, see xtune/models/flops.py
        mfu              that by what the GPU is sold with, 0 to 1; where xtune/models/peaks.py
                         knows it
        peak_memory_mb   of the GPU; of the process where there is none
        time             seconds since 1970

    With several processes also:

        work_s_min       seconds of a process's own work, before the gradients are exchanged
        work_s_max       of the slowest, which is slowest_rank
        peak_memory_mb_max  of the fullest, which is fullest_rank

    What a sheet's `evaluations` measure has lines of its own, at step 0, at a step and at the end:

        step             as above
        eval/mmlu        the headline of a task, by its label
        evaluation_s     seconds that all of it took; no step's rates count them

    Infinite and undefined numbers are null. A resumed run removes the lines of steps that it is
    going to repeat, and a last line that was cut off, before it appends.
    """

    def __init__(self) -> None:
        self._file: IO[str] | None = None

    def before_run(self, run: Run) -> None:
        """Open the file where the run goes on."""
        path = run.work_dir / METRICS
        if path.exists():
            _truncate(path, run.step)
        self._file = path.open("a", encoding="utf-8", buffering=1)

    def after_train_iter(self, run: Run, metrics: dict[str, Any]) -> None:
        """Write the step's line.

        Args: as `Hook.after_train_iter`.
        """
        self._write(metrics)

    def after_evaluate(self, run: Run, metrics: dict[str, Any]) -> None:
        """Write a line of the scores.

        Args: as `Hook.after_evaluate`.
        """
        self._write(metrics)

    def _write(self, metrics: dict[str, Any]) -> None:
        assert self._file is not None
        self._file.write(json.dumps({k: _json_value(v) for k, v in metrics.items()}) + "\n")

    def after_run(self, run: Run) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _json_value(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _truncate(path: Path, last_step: int) -> None:
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True):
        try:
            if json.loads(line)["step"] <= last_step and line.endswith("\n"):
                kept.append(line)
        except (ValueError, KeyError):  # cut off in the middle when the process was killed
            continue
    temporary = path.with_suffix(".tmp")
    temporary.write_text("".join(kept), encoding="utf-8")
    temporary.replace(path)
