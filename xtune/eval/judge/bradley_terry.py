"""Bradley-Terry ratings: the ones under which the matches are likeliest, in any order."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from xtune.eval.judge.islands import require_connected
from xtune.eval.judge.matches import Match

__all__ = ["VIRTUAL_TIE", "bradley_terry", "fit_wins", "wins_of"]

VIRTUAL_TIE = 0.5  # matches; a model that has won them all would be infinitely good without
_MEAN = 1000.0
_SCALE = math.log(10) / 400  # of a rating, as a logit
_STEPS = 100
_SMALL = 1e-10  # logits


def bradley_terry(matches: Sequence[Match]) -> dict[str, float]:
    """Return ratings on Elo's scale, with mean 1000.

    They maximise sum of y log s(d) + (1 - y) log(1 - s(d)), where d is ln(10) / 400 times the
    difference of the ratings and y the outcome, a tie being 0.5, plus half a tie between each two
    models that have met.

    Args:
        matches: what was played; at least one.

    Raises:
        UsageError: the models fall apart into islands.
    """
    names = sorted({name for match in matches for name in match.models})
    wins = wins_of(matches, names)
    return dict(zip(names, fit_wins(wins, wins + wins.T > 0, names).tolist(), strict=True))


def wins_of(matches: Sequence[Match], names: Sequence[str]) -> np.ndarray:
    """Return float64 [N, N]: how often each of N models beat each other, a tie half for both.

    Args:
        matches: what was played.
        names: of the models, in this order.
    """
    place: Mapping[str, int] = {name: at for at, name in enumerate(names)}
    wins = np.zeros((len(names), len(names)))
    for match in matches:
        one, other = (place[name] for name in match.models)
        wins[one, other] += match.outcome
        wins[other, one] += 1 - match.outcome
    return wins


def fit_wins(wins: np.ndarray, met: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return the ratings, float64 [N], by Newton's method.

    Args:
        wins: of each over each other, [N, N].
        met: bool [N, N], symmetric: who gets the half tie; also those who met only in matches
            that a resample has left out.
        names: of the models, for messages.

    Raises:
        UsageError: the models fall apart into islands.
    """
    met = met & ~np.eye(len(wins), dtype=bool)
    pairs = [(names[one], names[other]) for one, other in np.argwhere(met)]
    require_connected(names, pairs, "have no match")
    wins = wins + met * (VIRTUAL_TIE / 2)
    games = wins + wins.T
    logits = np.zeros(len(wins))
    value = _likelihood(wins, logits)
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(logits[None] - logits[:, None]))  # that the row beats the column
        gradient = (wins - games * chance).sum(1)
        curvature = games * chance * (1 - chance)
        hessian = np.diag(curvature.sum(1)) - curvature + 1 / len(wins)  # the mean stays put
        step = np.linalg.solve(hessian, gradient)
        while (better := _likelihood(wins, logits + step)) < value - 1e-9 * abs(value):
            step /= 2
        logits, value = logits + step, better
        if np.abs(step).max() < _SMALL:
            break
    logits -= logits.mean()
    return _MEAN + logits / _SCALE


def _likelihood(wins: np.ndarray, logits: np.ndarray) -> float:
    differences = logits[:, None] - logits[None]
    return float(-(wins * np.logaddexp(0, -differences)).sum())
