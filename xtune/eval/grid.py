"""Results over two axes, as the lengths and depths of a needle in a haystack: for a heat map.

A task whose items lie on a grid puts {'axis of rows': value, 'axis of columns': value} into the
notes of each score, as `cell`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

__all__ = ["Grid", "grid_of"]


class Grid(NamedTuple):
    """The mean of a metric in each cell.

    Attributes:
        axes: what rows and columns stand for.
        rows: their values, rising.
        columns: likewise.
        means: [rows][columns]; None where no item is.
    """

    axes: tuple[str, str]
    rows: list[float]
    columns: list[float]
    means: list[list[float | None]]


def grid_of(
    cells: Sequence[Mapping[str, float] | None], values: Sequence[float | None]
) -> Grid | None:
    """Return the grid that items lie on; None where not all lie on one.

    Args:
        cells: of each item, its place by axis.
        values: of each item, a metric; None where it has none.
    """
    axes = {tuple(cell or ()) for cell in cells}
    if len(axes) != 1 or len(names := next(iter(axes))) != 2:
        return None
    row_axis, column_axis = names
    found: dict[tuple[float, float], list[float]] = {}
    for cell, value in zip(cells, values, strict=True):
        if cell is not None and value is not None:
            found.setdefault((cell[row_axis], cell[column_axis]), []).append(value)
    rows, columns = (sorted({cell[axis] for cell in cells if cell}) for axis in names)
    means = [
        [
            sum(inside) / len(inside) if (inside := found.get((row, column))) else None
            for column in columns
        ]
        for row in rows
    ]
    return Grid((row_axis, column_axis), rows, columns, means)
