"""Curves for TensorBoard: tensorboard --logdir work_dirs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xtune.engine.hooks.base import Hook
from xtune.registry import HOOKS

if TYPE_CHECKING:
    from xtune.engine.run import Run

__all__ = ["TensorboardHook"]


@HOOKS.register_module()
class TensorboardHook(Hook):
    """Writes every number of a step to work_dir/tensorboard/."""

    essential = False

    def __init__(self) -> None:
        self._writer: Any = None

    def before_run(self, run: Run) -> None:
        """Open the event file; TensorBoard hides what an earlier process wrote past this step."""
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(run.work_dir / "tensorboard"), purge_step=run.step + 1)

    def after_train_iter(self, run: Run, metrics: dict[str, Any]) -> None:
        """Add the step's numbers."""
        if self._writer is None:
            return
        for name, value in metrics.items():
            if name not in ("step", "time"):
                self._writer.add_scalar(f"train/{name}", value, run.step)

    def after_evaluate(self, run: Run, metrics: dict[str, Any]) -> None:
        """Add what was measured, under the names that it has in metrics.jsonl."""
        if self._writer is None:
            return
        for name, value in metrics.items():
            if name != "step":
                self._writer.add_scalar(name, value, run.step)

    def after_run(self, run: Run) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
