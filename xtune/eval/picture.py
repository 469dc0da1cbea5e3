"""The report's picture: the share right by kind, before and after, and the loss curve."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xtune.eval.loss_curve import LossCurve
from xtune.eval.result import EvaluationResult

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_picture"]

_BEFORE, _AFTER, _INK = "#b8bec7", "#2f6fb5", "#333a44"


def draw_picture(
    path: Path, before: EvaluationResult, after: EvaluationResult, curve: LossCurve
) -> None:
    """Write a PNG of two panels; of one where there is no loss curve.

    Args:
        path: of the PNG.
        before: of the untouched model.
        after: with what was trained.
        curve: the run's losses.
    """
    from matplotlib.figure import Figure  # half a second, and only needed here

    kinds = len(after.by_kind)
    panels = 2 if curve.train else 1
    figure = Figure(figsize=(5.6 * panels, 1.6 + 0.5 * max(kinds, 4)), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    _draw_kinds(axes[0], before, after)
    if curve.train:
        _draw_losses(axes[1], curve)
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.tick_params(colors=_INK)
        each.title.set_color(_INK)
    figure.savefig(path, dpi=150)


def _draw_kinds(axes: Axes, before: EvaluationResult, after: EvaluationResult) -> None:
    height = 0.38
    kinds = list(after.by_kind)
    for offset, result, color, label in (
        (-height / 2, before, _BEFORE, "before"),
        (height / 2, after, _AFTER, "after"),
    ):
        shares = [result.by_kind[kind] for kind in kinds]
        percents = [100 * (share.rate or 0.0) for share in shares]
        places = [at + offset for at in range(len(kinds))]
        axes.barh(places, percents, height=height, color=color, label=label)
        for place, percent, share in zip(places, percents, shares, strict=True):
            axes.annotate(
                f"{share.right}/{share.total}",
                (percent, place),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=_INK,
            )
    axes.set_yticks(range(len(kinds)), labels=kinds)
    axes.invert_yaxis()
    axes.set_xlim(0, 114)  # room for the counts next to full bars
    axes.set_xticks(range(0, 101, 25))
    axes.set_xlabel("answered right, %", color=_INK)
    axes.set_title(f"Exact calls: {before.exact_calls} before, {after.exact_calls} after", size=10)
    axes.legend(frameon=False, ncols=2, loc="upper left", bbox_to_anchor=(-0.02, -0.14))


def _draw_losses(axes: Axes, curve: LossCurve) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.plot(list(curve.train), list(curve.train.values()), color=_AFTER, lw=1.5, label="training")
    if curve.val:
        axes.plot(
            list(curve.val), list(curve.val.values()), "o-", color="#c2562d", label="validation"
        )
        axes.legend(frameon=False)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("optimizer step", color=_INK)
    axes.set_title("Loss per trained token", size=10)
    axes.grid(axis="y", alpha=0.25)
