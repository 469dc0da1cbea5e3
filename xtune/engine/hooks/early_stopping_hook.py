"""Ends a run whose validation loss no longer falls."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from xtune.engine.hooks.base import Hook
from xtune.errors import ConfigError
from xtune.registry import HOOKS

if TYPE_CHECKING:
    from xtune.engine.run import Run

__all__ = ["EarlyStoppingHook"]


@HOOKS.register_module()
class EarlyStoppingHook(Hook):
    """Stops after `patience` measurements in a row that do not improve on the best one.

    Args:
        monitor: a number of metrics.jsonl for which lower is better.
        patience: measurements without improvement that are borne.
        min_delta: an improvement is at least so much.
    """

    on_every_process = True

    def __init__(
        self, *, monitor: str = "val_loss", patience: int = 3, min_delta: float = 0.0
    ) -> None:
        if patience < 1:
            raise ConfigError(f"EarlyStoppingHook: patience is {patience!r}; it is 1 or more")
        self.monitor = monitor
        self.patience = patience
        self.min_delta = min_delta
        self.best: float | None = None
        self.waited = 0

    def before_run(self, run: Run) -> None:
        """Refuse to wait for a number that never comes."""
        if self.monitor == "val_loss" and run.val_dataset is None:
            raise ConfigError(
                "EarlyStoppingHook watches val_loss, and there is no validation data: "
                "set val_data_path, or monitor='loss'"
            )

    def after_train_iter(self, run: Run, metrics: dict[str, Any]) -> None:
        """Compare, when there is a new measurement.

        Args: as `Hook.after_train_iter`.
        """
        if self.monitor not in metrics:
            return
        value = metrics[self.monitor]
        if self.best is None or (math.isfinite(value) and value < self.best - self.min_delta):
            self.best, self.waited = value, 0
            return
        self.waited += 1
        if self.waited >= self.patience:
            run.stop(
                f"{self.monitor} has not fallen below {self.best:.4f} in {self.waited} measurements"
            )

    def state_dict(self) -> dict[str, Any]:
        """The best value and how long ago it was."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on waiting."""
        self.best, self.waited = state["best"], state["waited"]
