"""How much the distance from the reference takes from a reward, adapted to a target."""

from __future__ import annotations

__all__ = ["adapted"]


def adapted(weight: float, *, kl: float, target: float, episodes: int, horizon: int) -> float:
    """Return the weight of the next iteration (Ziegler et al., 2019, arXiv 1909.08593, 2.2).

        e = clip(kl / target - 1, -0.2, 0.2)          weight (1 + e episodes / horizon)

    >>> adapted(0.2, kl=12.0, target=6.0, episodes=100, horizon=1000)
    0.204

    Args:
        weight: of this iteration.
        kl: mean over its answers of log p - log p_ref, summed over an answer, in nats.
        target: that it should be.
        episodes: answers of the iteration.
        horizon: answers in which the weight may change by a fifth.
    """
    error = min(max(kl / target - 1, -0.2), 0.2)
    return weight * (1 + error * episodes / horizon)
