"""The report's picture: results by group or by task, before and after, and the run's curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from xtune.eval.loss_curve import LossCurve
from xtune.eval.pages.heat_map import draw_grid, grids_of
from xtune.eval.results import Measured, Results, TaskResult, in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_picture"]

_BEFORE, _AFTER, _INK = "#b8bec7", "#2f6fb5", "#333a44"
_MOST = 24  # bars


class _Bar(NamedTuple):
    name: str
    before: Measured | None
    after: Measured
    is_share: bool


def draw_picture(path: Path, after: Results, before: Results | None, curve: LossCurve) -> None:
    """Write a PNG: shares, what is none (bits per byte), heat maps, losses, tasks meanwhile.

    Each is there where there is some of it.

    Args:
        path: of the PNG.
        after: what it is about.
        before: the same of the untouched model; None: it was not measured.
        curve: the run's losses.
    """
    from matplotlib.figure import Figure  # half a second, and only needed here

    bars = _bars(after, before)
    shares = [bar for bar in bars if bar.is_share]
    others = [bar for bar in bars if not bar.is_share]
    widths = [5.6] * bool(shares) + [3.6] * bool(others)
    grids = grids_of(after, before)
    widths += [5.6] * len(grids) + [5.6] * bool(curve.train) + [5.6] * bool(curve.tasks)
    widths = widths or [5.6]
    figure = Figure(
        figsize=(sum(widths), 1.6 + 0.5 * max(len(shares), len(others), 4)), layout="constrained"
    )
    axes = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
    rest = iter(axes)
    if shares or not others:
        _draw_bars(panel := next(rest), shares, _title(after, before))
        panel.set_xlim(0, 114)  # room for the counts next to full bars
        panel.set_xticks(range(0, 101, 25))
        panel.set_xlabel("answered right, %", color=_INK)
    if others:
        _draw_bars(panel := next(rest), others, "Less is better")
        panel.margins(x=0.2)
        panel.set_xlabel(" · ".join(dict.fromkeys(_measures(after))), color=_INK)
    for title, grid in grids:
        draw_grid(next(rest), title, grid)
    if curve.train:
        _draw_losses(next(rest), curve)
    if curve.tasks:
        _draw_tasks(next(rest), curve)
    for each in axes:
        each.spines[["top", "right"]].set_visible(False)
        each.tick_params(colors=_INK)
        each.title.set_color(_INK)
    figure.savefig(path, dpi=150)


def _bars(after: Results, before: Results | None) -> list[_Bar]:
    """The groups of the only task; or the tasks whose result is a share."""
    found = []
    if len(after.tasks) == 1:
        ((name, task),) = after.tasks.items()
        was = before[name] if before else None
        for group in task.groups[:_MOST]:
            found.append(_bar(in_words(group) or name, task, was, group))
    else:
        for name, task in list(after.tasks.items())[:_MOST]:
            was = before.tasks.get(name) if before else None
            found.append(_bar(in_words(name), task, was, None))
    return [bar for bar in found if not bar.is_share or 0 <= bar.after.mean <= 1]


def _measures(after: Results) -> list[str]:
    return [in_words(task.headline) for task in after.tasks.values() if task.lower_is_better]


def _bar(name: str, task: TaskResult, was: TaskResult | None, group: str | None) -> _Bar:
    return _Bar(
        name,
        None if was is None else was.measured(group=group),
        task.measured(group=group),
        not task.lower_is_better,
    )


def _title(after: Results, before: Results | None) -> str:
    task = next(iter(after.tasks.values()))
    # The metric that a call's exactness is; else the headline
    metric = task.metrics[1] if len(task.metrics) > 1 else task.headline
    if len(after.tasks) > 1:
        return "Answered right"
    later = task.measured(metric)
    earlier = f"{before[task.task].measured(metric)} before, " if before else ""
    return f"{in_words(metric).capitalize()}: {earlier}{later}{' after' if before else ''}"


def _draw_bars(axes: Axes, bars: Sequence[_Bar], title: str) -> None:
    both = any(bar.before for bar in bars)
    height = 0.38 if both else 0.7
    sides = [(0.0, [bar.after for bar in bars], _AFTER, "after" if both else "result")]
    if both:
        was = [bar.before or Measured(0.0, 0) for bar in bars]
        sides = [(-height / 2, was, _BEFORE, "before"), (height / 2, *sides[0][1:])]
    for offset, measured, color, label in sides:
        places = [at + offset for at in range(len(bars))]
        factors = [100 if bar.is_share else 1 for bar in bars]  # percent
        values = [by * each.mean for by, each in zip(factors, measured, strict=True)]
        axes.barh(places, values, height=height, color=color, label=label)
        for place, value, bar, each in zip(places, values, bars, measured, strict=True):
            text = f"{value:.1f}" if bar.is_share else f"{value:.3f}"
            if each.is_share:
                text = f"{round(each.mean * each.n)}/{each.n}"
            axes.annotate(
                text,
                (value, place),
                xytext=(3, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=_INK,
            )
    axes.set_yticks(range(len(bars)), labels=[bar.name for bar in bars])
    axes.invert_yaxis()
    axes.set_title(title, size=10)
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


def _draw_tasks(axes: Axes, curve: LossCurve) -> None:
    from matplotlib.ticker import MaxNLocator

    for name, values in curve.tasks.items():
        axes.plot(list(values), list(values.values()), "o-", lw=1.5, ms=4, label=in_words(name))
    axes.legend(frameon=False, fontsize=8)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("optimizer step", color=_INK)
    axes.set_title("Evaluated while training", size=10)
    axes.grid(axis="y", alpha=0.25)
