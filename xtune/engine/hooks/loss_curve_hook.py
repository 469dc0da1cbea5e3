"""work_dir/loss_curve.png: loss and learning rate over the steps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xtune.engine.hooks.base import Hook
from xtune.engine.metrics_file import METRICS, read_rows
from xtune.registry import HOOKS

if TYPE_CHECKING:
    from xtune.engine.run import Run

__all__ = ["LossCurveHook"]


@HOOKS.register_module()
class LossCurveHook(Hook):
    """Draws what metrics.jsonl holds, at each checkpoint and at the end."""

    essential = False

    def after_save_checkpoint(self, run: Run, folder: Path) -> None:
        """Draw what there is so far.

        Args: as `Hook.after_save_checkpoint`.
        """
        self._draw(run)

    def after_train(self, run: Run) -> None:
        """Draw the whole run."""
        self._draw(run)

    def _draw(self, run: Run) -> None:
        metrics = run.work_dir / METRICS
        if not metrics.exists():  # the sheet has no MetricsHook
            return
        rows = [row for row in read_rows(metrics) if "loss" in row]  # others are of evaluations
        draw_loss_curve(rows, run.work_dir / "loss_curve.png", title=run.sheet.name)


def draw_loss_curve(rows: list[dict[str, float]], path: Path, *, title: str) -> None:
    """Draw training loss, validation loss where measured, and the learning rate into a PNG.

    Args:
        rows: of metrics.jsonl.
        path: of the PNG.
        title: written above it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasAgg(figure)  # needs no display, and leaves a user's own backend alone
    axes = figure.add_subplot(xlabel="optimizer step", ylabel="loss", title=title)
    steps = [row["step"] for row in rows]
    axes.plot(steps, [_number(row["loss"]) for row in rows], label="training", linewidth=1.2)
    measured = [row for row in rows if "val_loss" in row]
    if measured:
        axes.plot(
            [row["step"] for row in measured],
            [_number(row["val_loss"]) for row in measured],
            "o-",
            label="validation",
        )
    axes.grid(alpha=0.3)
    axes.legend(loc="upper right")
    rate = axes.twinx()
    rate.plot(steps, [row["lr"] for row in rows], color="gray", alpha=0.4, linewidth=1)
    rate.set_ylabel("learning rate (gray)")
    figure.savefig(path, dpi=120)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value  # null in metrics.jsonl
