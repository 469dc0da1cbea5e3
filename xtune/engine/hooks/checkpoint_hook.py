"""Saves the run every so many steps, at its end, and when it is interrupted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xtune.engine.hooks.base import Hook
from xtune.errors import ConfigError
from xtune.registry import HOOKS

if TYPE_CHECKING:
    from xtune.engine.run import Run

__all__ = ["CheckpointHook"]


@HOOKS.register_module()
class CheckpointHook(Hook):
    """Writes work_dir/checkpoints/step_….

    Args:
        interval: optimizer steps between two checkpoints; None: only at the end.
        max_keep: checkpoints that are kept, the newest; None: all.
    """

    on_every_process = True

    def __init__(self, *, interval: int | None = None, max_keep: int | None = None) -> None:
        for name, value in (("interval", interval), ("max_keep", max_keep)):
            if value is not None and value < 1:
                raise ConfigError(
                    f"CheckpointHook: {name} is {value!r}; 1 or more, or None for "
                    + ("only at the end" if name == "interval" else "all")
                )
        self.interval = interval
        self.max_keep = max_keep
        self._saved = 0

    def before_train(self, run: Run) -> None:
        """A resumed run has its first step on disk already."""
        self._saved = run.step

    def after_train_iter(self, run: Run, metrics: dict[str, Any]) -> None:
        """Save when it is time.

        Args: as `Hook.after_train_iter`.
        """
        if self.interval is not None and run.step % self.interval == 0:
            self._save(run, wait=False)

    def after_train(self, run: Run) -> None:
        """Save the result."""
        self._save(run)

    def on_interrupt(self, run: Run) -> None:
        """Save what there is."""
        self._save(run)

    def _save(self, run: Run, *, wait: bool = True) -> None:
        if run.step != self._saved:
            run.save_checkpoint(max_keep=self.max_keep, wait=wait)
            self._saved = run.step
