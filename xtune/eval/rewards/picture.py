"""The picture of scored answers: whom the scores tell apart, how sure, and whether by length."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtune.eval.rewards.scored import ScoredAnswer

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_scores"]

_BETTER, _WORSE, _INK = "#2f6fb5", "#c2562d", "#333a44"
_DOTS = 4000  # at most, of the answers


def draw_scores(path: Path, answers: Sequence[ScoredAnswer], values: dict[str, Any]) -> None:
    """Write a PNG.

    Args:
        path: of the PNG.
        answers: with their scores.
        values: what `measured` made of them.
    """
    from matplotlib.figure import Figure  # half a second, and only needed here

    has_pairs = "pairs" in values
    figure = Figure(figsize=(15.6 if has_pairs else 10.4, 3.8), layout="constrained")
    axes = list(figure.subplots(1, 3 if has_pairs else 2, squeeze=False)[0])
    _draw_histogram(axes[0], answers, has_pairs)
    if has_pairs:
        _draw_calibration(axes[1], values)
    _draw_lengths(axes[-1], answers, values)
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.tick_params(colors=_INK)
        each.title.set_color(_INK)
    figure.savefig(path, dpi=150)


def _draw_histogram(axes: Axes, answers: Sequence[ScoredAnswer], has_pairs: bool) -> None:
    low = min(answer.score for answer in answers)
    high = max(answer.score for answer in answers)
    around = (low, high if high > low else low + 1)
    sides = [("best answers", _BETTER, True), ("other answers", _WORSE, False)]
    if not has_pairs:
        sides = [("answers", _BETTER, True)]
    for label, colour, is_best in sides:
        chosen = [a.score for a in answers if not has_pairs or (a.rank == 0) == is_best]
        axes.hist(chosen, bins=30, range=around, color=colour, alpha=0.55, label=label)
    axes.set_title("Scores", size=10)
    axes.set_xlabel("score", color=_INK)
    axes.legend(frameon=False)


def _draw_calibration(axes: Axes, values: dict[str, Any]) -> None:
    bins = [one for one in values["by_margin"] if one["pairs"]]
    axes.plot([0.5, 1], [0.5, 1], color="#b8bec7", lw=1.2, label="as sure as right")
    sure, right = [one["sure"] for one in bins], [one["right"] for one in bins]
    axes.plot(sure, right, "o-", color=_BETTER, lw=1.5, label="this model")
    for one in bins:
        axes.annotate(
            f"{one['pairs']:,}",
            (one["sure"], one["right"]),
            xytext=(4, -11),
            textcoords="offset points",
            fontsize=8,
            color=_INK,
        )
    axes.set_xlim(0.48, 1.04)
    axes.set_ylim(min(0.4, *right) - 0.06, 1.04)
    axes.set_xlabel("how sure: sigmoid(|margin|)", color=_INK)
    axes.set_title(
        f"Right: {100 * values['accuracy']['right']:.1f} %, by how sure it is (pairs)", size=10
    )
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="lower right")


def _draw_lengths(axes: Axes, answers: Sequence[ScoredAnswer], values: dict[str, Any]) -> None:
    shown = answers[:: len(answers) // _DOTS + 1]
    for is_best, colour in ((True, _BETTER), (False, _WORSE)):
        dots = [answer for answer in shown if (answer.rank == 0) == is_best]
        axes.scatter(
            [answer.tokens for answer in dots],
            [answer.score for answer in dots],
            s=9,
            alpha=0.45,
            color=colour,
            linewidths=0,
        )
    by_length = values["length_correlation"]
    said = "no correlation" if by_length is None else f"correlation {by_length:.2f}"
    axes.set_title(f"Score and length: {said}", size=10)
    axes.set_xlabel("tokens of the answer", color=_INK)
    axes.set_ylabel("score", color=_INK)
    axes.grid(alpha=0.25)
