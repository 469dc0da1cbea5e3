"""Saves the run every so many steps, at its end, and when it is interrupted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xtune.engine.hooks.base import Hook
from xtune.errors import ConfigError
from xtune.registry import HOOKS

if TYPE_CHECKING:
    from xtune.engine.runner import Runner

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

    def before_train(self, runner: Runner) -> None:
        """A resumed run has its first step on disk already."""
        self._saved = runner.step

    def after_train_iter(self, runner: Runner, metrics: dict[str, Any]) -> None:
        """Save when it is time."""
        if self.interval is not None and runner.step % self.interval == 0:
            self._save(runner, wait=False)

    def after_train(self, runner: Runner) -> None:
        """Save the result."""
        self._save(runner)

    def on_interrupt(self, runner: Runner) -> None:
        """Save what there is."""
        self._save(runner)

    def _save(self, runner: Runner, *, wait: bool = True) -> None:
        if runner.step != self._saved:
            runner.save_checkpoint(max_keep=self.max_keep, wait=wait)
            self._saved = runner.step
