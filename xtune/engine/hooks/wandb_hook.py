"""Sends every step's numbers to Weights & Biases, if it is installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from xtune.engine.hooks.base import Hook
from xtune.errors import ConfigError
from xtune.registry import HOOKS

if TYPE_CHECKING:
    from xtune.engine.run import Run

__all__ = ["WandbHook"]


@HOOKS.register_module()
class WandbHook(Hook):
    """Opens a W&B run named after the config; set WANDB_MODE=offline to keep it on disk.

    Args:
        project: the W&B project.
        name: of the run; None: the config's.
    """

    essential = False

    def __init__(self, *, project: str = "xtune", name: str | None = None) -> None:
        if find_spec("wandb") is None:
            raise ConfigError("WandbHook needs the package wandb: pip install wandb")
        self.project = project
        self.name = name
        self._run: Any = None

    def before_run(self, run: Run) -> None:
        """Open the run."""
        import wandb

        self._run = wandb.init(
            project=self.project,
            name=self.name or run.sheet.name,
            dir=str(run.work_dir),
            config={"sheet": run.sheet.text},
        )

    def after_train_iter(self, run: Run, metrics: dict[str, Any]) -> None:
        """Send the step's numbers."""
        if self._run is not None:
            self._run.log(metrics, step=run.step)

    def after_evaluate(self, run: Run, metrics: dict[str, Any]) -> None:
        """Send what was measured."""
        self.after_train_iter(run, metrics)

    def after_run(self, run: Run) -> None:
        """Close the run."""
        if self._run is not None:
            self._run.finish()
