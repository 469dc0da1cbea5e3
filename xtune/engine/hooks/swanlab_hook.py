"""Sends every step's numbers to SwanLab, if it is installed."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from xtune.engine.hooks.base import Hook
from xtune.errors import ConfigError
from xtune.registry import HOOKS

if TYPE_CHECKING:
    from xtune.engine.run import Run

__all__ = ["SwanlabHook"]


@HOOKS.register_module()
class SwanlabHook(Hook):
    """Opens a SwanLab experiment named after the config.

    Args:
        project: the SwanLab project.
        name: of the experiment; None: the config's.
        mode: 'cloud', 'local' or 'disabled'; None: SwanLab's own setting.
    """

    essential = False

    def __init__(
        self, *, project: str = "xtune", name: str | None = None, mode: str | None = None
    ) -> None:
        if find_spec("swanlab") is None:
            raise ConfigError("SwanlabHook needs the package swanlab: pip install swanlab")
        self.project = project
        self.name = name
        self.mode = mode
        self._run: Any = None

    def before_run(self, run: Run) -> None:
        """Open the experiment."""
        import swanlab

        self._run = swanlab.init(
            project=self.project,
            experiment_name=self.name or run.sheet.name,
            logdir=str(run.work_dir / "swanlab"),
            config={"sheet": run.sheet.text},
            mode=self.mode,
        )

    def after_train_iter(self, run: Run, metrics: dict[str, Any]) -> None:
        """Send the step's numbers."""
        if self._run is not None:
            self._run.log(metrics, step=run.step)

    def after_evaluate(self, run: Run, metrics: dict[str, Any]) -> None:
        """Send what was measured."""
        self.after_train_iter(run, metrics)

    def after_run(self, run: Run) -> None:
        """Close the experiment."""
        if self._run is not None:
            self._run.finish()
