"""Online Elo. It depends on the order of the matches, so it is the median over many orders."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xtune.eval.judge.matches import Match

__all__ = ["K", "ORDERS", "START", "online_elo", "shuffled_elo"]

K = 4.0  # points that one match moves at most; Chatbot Arena's
START = 1000.0
ORDERS = 1000
_AT_ONCE = 250  # orders; an order of 100,000 matches is 0.8 MB


def online_elo(matches: Sequence[Match], *, k: float = K) -> dict[str, float]:
    """Return the ratings after the matches, in the order in which they stand.

    A rating moves by k times (result - expected), expected = 1 / (1 + 10^((Rb - Ra) / 400)).

    Args:
        matches: what was played.
        k: points that one match moves at most.
    """
    names = sorted({name for match in matches for name in match.models})
    order = np.arange(len(matches))[None]
    ratings = _play(names, matches, order, k)[0]
    return dict(zip(names, ratings.tolist(), strict=True))


def shuffled_elo(
    matches: Sequence[Match], *, orders: int = ORDERS, seed: int = 0
) -> dict[str, tuple[float, float, float]]:
    """Return median, 2.5 and 97.5 percentile of each model's rating over random orders.

    The same whatever order the matches stand in.

    Args:
        matches: what was played; at least one.
        orders: how many.
        seed: of the orders.
    """
    names = sorted({name for match in matches for name in match.models})
    matches = sorted(matches, key=lambda match: (match.models, match.question, match.outcome))
    random = np.random.default_rng(seed)
    ratings = []
    for start in range(0, orders, _AT_ONCE):
        count = min(_AT_ONCE, orders - start)
        order = random.permuted(np.tile(np.arange(len(matches)), (count, 1)), axis=1)
        ratings.append(_play(names, matches, order, K))
    low, middle, high = np.percentile(np.concatenate(ratings), [2.5, 50, 97.5], axis=0)
    return {
        name: (float(middle[at]), float(low[at]), float(high[at])) for at, name in enumerate(names)
    }


def _play(names: list[str], matches: Sequence[Match], order: np.ndarray, k: float) -> np.ndarray:
    """Ratings [orders, models] after playing the matches in each order, [orders, matches]."""
    place = {name: at for at, name in enumerate(names)}
    pairs = np.array([[place[name] for name in match.models] for match in matches])
    outcomes = np.array([match.outcome for match in matches])
    ratings = np.full((len(order), len(names)), START)
    row = np.arange(len(order))
    for step in order.T:
        one, other = pairs[step].T
        expected = 1 / (1 + 10 ** ((ratings[row, other] - ratings[row, one]) / 400))
        moved = k * (outcomes[step] - expected)
        ratings[row, one] += moved
        ratings[row, other] -= moved
    return ratings
