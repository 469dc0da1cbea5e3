"""Curves for a screen: the mean of some steps, and of very many points those that show the shape.

1000 points are enough   all are there
more                     of each stretch of steps the lowest, the highest, and one that is not
                         finite, if there is any: no peak is lost, and none is made
"""

from __future__ import annotations

import math

import numpy as np

from xtune.engine.metrics_file import Curve

__all__ = ["Points", "mean_of_last", "thinned"]

Points = tuple[np.ndarray, np.ndarray]  # steps int64 [N], values float64 [N], nan: not finite


def mean_of_last(curve: Curve, count: int) -> Points:
    """Return at each step the mean of the last `count` values; what is not finite stays so.

    Args:
        curve: of a run.
        count: of values that are finite, as many as there are at the beginning; 1: as they are.
    """
    steps = np.array(curve.steps, dtype=np.int64)
    values = np.array(curve.values, dtype=np.float64)
    if count <= 1 or not len(values):
        return steps, values
    finite = np.isfinite(values)
    window = np.ones(min(count, len(values)))
    # summed anew for each step: a difference of two running sums would lose what comes after 1e30
    summed = np.convolve(np.where(finite, values, 0.0), window)[: len(values)]
    counted = np.convolve(finite, window)[: len(values)]
    means = np.full(len(values), math.nan)
    means[finite] = summed[finite] / counted[finite]
    return steps, means


def thinned(points: Points, most: int) -> Points:
    """Return no more points than a screen can show; see above.

    Args:
        points: of a curve.
        most: about how many, of those that are finite.
    """
    steps, values = points
    if len(steps) <= most:
        return points
    edges = np.linspace(0, len(steps), max(most // 2, 1) + 1).astype(np.int64)
    kept = {0, len(steps) - 1}
    for begin, end in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
        stretch = values[begin:end]
        finite = np.isfinite(stretch)
        if finite.any():
            kept.add(begin + int(np.where(finite, stretch, math.inf).argmin()))
            kept.add(begin + int(np.where(finite, stretch, -math.inf).argmax()))
        if not finite.all():
            kept.add(begin + int(finite.argmin()))
    places = np.array(sorted(kept))
    return steps[places], values[places]
