"""The win rate that two models would have at answers of equal length.

The minimal form of AlpacaEval's length control, without its published difficulty of each
instruction, hence another name. The outcome y (1, 0.5 or 0) is fitted by the logit
`model + slope * tanh(d / std(d))`, d being the difference of lengths in characters; the adjusted
rate is the one at d = 0. The slope has a ridge of 1, since a few matches tell little of it; the
model's term has one of 0.001, which keeps it finite where one model wins every match.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["FAR", "length_adjusted"]

FAR = 0.10  # a difference from the raw rate that is worth a warning
_RIDGE = np.array([1e-3, 1.0])  # of the model's term and the slope
_STEPS = 100


def length_adjusted(outcomes: Sequence[float], longer: Sequence[int]) -> float:
    """Return the first model's win rate at equal length, 0 to 1.

    Args:
        outcomes: of each match: 1 where the first model is better, 0 where the second is, else 0.5.
        longer: characters of the first's answer minus those of the second's, by match.

    >>> round(length_adjusted([1, 1, 0, 0], [5, 5, 5, 5]), 6)
    0.5
    """
    y = np.asarray(outcomes, dtype=float)
    difference = np.asarray(longer, dtype=float)
    spread = difference.std()
    if spread == 0:  # nothing to adjust by
        return float(y.mean())
    features = np.stack([np.ones_like(y), np.tanh(difference / spread)], axis=1)
    weights = np.zeros(2)
    value = _loss(features, y, weights)
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-features @ weights))
        gradient = features.T @ (y - chance) - _RIDGE * weights
        hessian = (features.T * (chance * (1 - chance))) @ features + np.diag(_RIDGE)
        step = np.linalg.solve(hessian, gradient)
        while (better := _loss(features, y, weights + step)) > value + 1e-9 * abs(value):
            step /= 2
        weights, value = weights + step, better
        if np.abs(step).max() < 1e-10:
            break
    return float(1 / (1 + np.exp(-weights[0])))


def _loss(features: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    logits = features @ weights
    return float((np.logaddexp(0, logits) - y * logits).sum() + _RIDGE @ weights**2 / 2)
