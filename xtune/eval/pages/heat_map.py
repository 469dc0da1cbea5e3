"""A task's grid as a heat map, a panel of the report's picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xtune.eval.grid import Grid, grid_of
from xtune.eval.results import Results, TaskResult, in_words

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_grid", "grids_of"]

_COLORS = ["#e08a7d", "#f4e6c3", "#8cc59a"]  # pale, so that a number is read on each
_FEW = 150  # cells that have room for their number


def grids_of(after: Results, before: Results | None) -> list[tuple[str, Grid]]:
    """Return the grid of each task that has one, with a title; 'before' stands in front.

    Args:
        after: what was found.
        before: the same of the untouched model; None: it was not measured.
    """
    found = []
    for name, task in after.tasks.items():
        was = before.tasks.get(name) if before else None
        sides = [(was, ", before"), (task, ", after")] if was else [(task, "")]
        for side, when in sides:
            if grid := _grid_of(side):
                found.append((f"{in_words(name)}: {in_words(side.headline)}, %{when}", grid))
    return found


def draw_grid(axes: Axes, title: str, grid: Grid) -> None:
    """Draw rows from top to bottom, green where all is right and red where nothing is.

    Args:
        axes: a panel.
        title: of it.
        grid: means between 0 and 1.
    """
    from matplotlib.colors import LinearSegmentedColormap

    values = [[float("nan") if mean is None else 100 * mean for mean in row] for row in grid.means]
    colors = LinearSegmentedColormap.from_list("wrong to right", _COLORS)
    axes.imshow(values, cmap=colors, vmin=0, vmax=100, aspect="auto")
    if len(grid.rows) * len(grid.columns) <= _FEW:
        for row, line in enumerate(values):
            for column, value in enumerate(line):
                if value == value:  # a cell with an item
                    axes.text(column, row, f"{value:.0f}", ha="center", va="center", size=8)
    for axis, values_of, name in (
        (axes.yaxis, grid.rows, grid.axes[0]),
        (axes.xaxis, grid.columns, grid.axes[1]),
    ):
        axis.set_ticks(range(len(values_of)), [f"{value:g}" for value in values_of])
        axis.set_label_text(in_words(name))
    axes.set_title(title, size=10)


def _grid_of(task: TaskResult) -> Grid | None:
    cells = [row.notes.get("cell") for row in task.rows]
    return grid_of(cells, [row.metrics.get(task.headline) for row in task.rows])
