"""Intervals by the bootstrap: questions are drawn anew, with all matches that belong to each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xtune.eval.judge.bradley_terry import fit_wins, wins_of
from xtune.eval.judge.matches import Match

__all__ = ["ROUNDS", "Intervals", "resampled"]

ROUNDS = 1000
_PERCENTILES = [2.5, 97.5]

Intervals = dict[str, tuple[float, float]]


def resampled(
    matches: Sequence[Match], *, rounds: int = ROUNDS, seed: int = 0
) -> tuple[Intervals, Intervals]:
    """Return the 95 % interval of each model's Bradley-Terry rating and of its win rate.

    The same whatever order the matches stand in. A tie is half a win.

    Args:
        matches: what was played; at least one, models connected.
        rounds: of drawing.
        seed: of the drawing.
    """
    names = sorted({name for match in matches for name in match.models})
    questions = sorted({match.question for match in matches})
    of_question: dict[str, list[Match]] = {question: [] for question in questions}
    for match in matches:
        of_question[match.question].append(match)
    wins = np.stack([wins_of(of_question[question], names) for question in questions])
    whole = wins.sum(0)
    met = whole + whole.T > 0
    random = np.random.default_rng(seed)
    ratings, rates = [], []
    for _ in range(rounds):
        drawn = random.integers(len(questions), size=len(questions))
        counts = np.bincount(drawn, minlength=len(questions))
        some = np.tensordot(counts, wins, axes=1)
        ratings.append(fit_wins(some, met, names))
        games = (some + some.T).sum(1)
        rates.append(np.where(games > 0, some.sum(1) / np.maximum(games, 1), np.nan))
    return _by_name(names, ratings), _by_name(names, rates)


def _by_name(names: Sequence[str], rows: list[np.ndarray]) -> Intervals:
    low, high = np.nanpercentile(np.stack(rows), _PERCENTILES, axis=0)
    return {name: (float(low[at]), float(high[at])) for at, name in enumerate(names)}
