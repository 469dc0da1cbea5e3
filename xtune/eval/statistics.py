"""Means with their errors, and paired differences: what may be chance, and what may not.

Two evaluations of the same items are compared item by item. Intervals of two separate means hide
real changes, because the items' own difficulty, which both share, is most of their width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

__all__ = [
    "Mean",
    "Paired",
    "bootstrap_interval",
    "evenly_spaced",
    "group_means",
    "mcnemar",
    "mean_of",
    "paired",
]

_ROUNDS = 10_000
_CHUNK = 2_000_000  # random numbers held at once


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over items.

    Attributes:
        value: the mean.
        stderr: its standard error; None of a single item. For wrong and right, 0 and 1, it is
            sqrt(p (1 - p) / (n - 1)).
        n: items.
    """

    value: float
    stderr: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Paired:
    """The same items measured twice.

    Attributes:
        n: items that both have.
        before: the first mean.
        after: the second.
        difference: after - before.
        low: of the 95 % interval of the difference, by a bootstrap over items.
        high: of that interval.
        p_value: of no difference at all. By McNemar's exact test where items are wrong or right;
            else twice the smaller share of bootstrap rounds on one side of zero, and never less
            than as many items as changed all go one way by chance.
        lost: items that were right and are wrong; None where items are not wrong or right.
        gained: items that were wrong and are right.
        rose: items whose value is larger than it was.
    """

    n: int
    before: float
    after: float
    difference: float
    low: float
    high: float
    p_value: float
    lost: int | None = None
    gained: int | None = None
    rose: int = 0

    @property
    def is_clear(self) -> bool:
        """Whether chance alone would rarely make such a difference: p below 0.05."""
        return self.p_value < 0.05


def evenly_spaced(count: int, most: int | None) -> list[int]:
    """Return which of some items are taken where not all are: the same ones each time.

    Args:
        count: of the items.
        most: how many are taken; None: all.

    >>> evenly_spaced(10, 3), evenly_spaced(2, 3), evenly_spaced(2, None)
    ([0, 3, 6], [0, 1], [0, 1])
    """
    if most is None or most >= count:
        return list(range(count))
    return [at * count // most for at in range(most)]


def mean_of(values: Sequence[float]) -> Mean:
    """Return the mean of items with its standard error.

    Args:
        values: of the items; at least one.

    >>> mean_of([1, 1, 0, 1])
    Mean(value=0.75, stderr=0.25, n=4)
    """
    count = len(values)
    value = math.fsum(values) / count
    if count == 1:
        return Mean(value, None, 1)
    spread = math.fsum((each - value) ** 2 for each in values) / (count - 1)
    return Mean(value, math.sqrt(spread / count), count)


def group_means(values: Sequence[float], groups: Sequence[str]) -> dict[str, Mean]:
    """Return the mean of each group, in the order of its first item.

    The mean over all items weights groups by their items (micro); the mean of these means does
    not (macro). The two differ by a point on MMLU.

    Args:
        values: of the items.
        groups: which each belongs to.
    """
    parts: dict[str, list[float]] = {}
    for value, group in zip(values, groups, strict=True):
        parts.setdefault(group, []).append(value)
    return {group: mean_of(part) for group, part in parts.items()}


def mcnemar(lost: int, gained: int) -> float:
    """Return the two-sided p-value of McNemar's exact test (McNemar, 1947).

    Under no difference each of the items that changed had an even chance to change either way.

    Args:
        lost: items that were right before and are wrong.
        gained: items that were wrong before and are right.

    >>> mcnemar(1, 9)
    0.021484375
    >>> mcnemar(0, 0)
    1.0
    """
    changed = lost + gained
    tail = sum(math.comb(changed, count) for count in range(min(lost, gained) + 1))
    return min(1.0, 2 * tail / 2**changed)


def bootstrap_interval(
    values: Sequence[float], *, rounds: int = _ROUNDS, seed: int = 0
) -> tuple[float, float]:
    """Return the 2.5 and 97.5 percentiles of the mean over items drawn anew with replacement.

    The order of the items changes nothing.

    Args:
        values: of the items; at least one.
        rounds: of drawing.
        seed: of the drawing.
    """
    low, high = np.percentile(_drawn_means(values, rounds, seed), [2.5, 97.5])
    return float(low), float(high)


def paired(before: Mapping[str, float], after: Mapping[str, float], *, seed: int = 0) -> Paired:
    """Compare two evaluations over the items that both have.

    Args:
        before: values by item.
        after: values by item.
        seed: of the bootstrap.

    Raises:
        ValueError: they share no item.
    """
    both = [item for item in before if item in after]
    if not both:
        raise ValueError("the two evaluations share no item")
    first, second = [before[item] for item in both], [after[item] for item in both]
    changes = [b - a for a, b in zip(first, second, strict=True)]
    means = _drawn_means(changes, _ROUNDS, seed)
    low, high = np.percentile(means, [2.5, 97.5])
    lost = gained = None
    if set(first) | set(second) <= {0, 1}:
        lost, gained = changes.count(-1), changes.count(1)
        p_value = mcnemar(lost, gained)
    else:
        drawn = 2 * min(float((means <= 0).mean()), float((means >= 0).mean()))
        # By chance all that changed go one way as often as this: one text proves nothing
        changed = sum(change != 0 for change in changes)
        p_value = min(1.0, max(drawn, 2.0 ** (1 - changed)))
    return Paired(
        n=len(both),
        before=mean_of(first).value,
        after=mean_of(second).value,
        difference=math.fsum(changes) / len(both),
        low=float(low),
        high=float(high),
        p_value=p_value,
        lost=lost,
        gained=gained,
        rose=sum(change > 0 for change in changes),
    )


def _drawn_means(values: Sequence[float], rounds: int, seed: int) -> np.ndarray:
    """The mean of each of `rounds` samples of the items, float64 [rounds]."""
    generator = np.random.default_rng(seed)
    # Drawing how often each distinct value comes is the same as drawing items, and cheaper.
    distinct, counts = np.unique(np.asarray(values, dtype=np.float64), return_counts=True)
    shares = counts / counts.sum()
    step = max(1, _CHUNK // len(distinct))
    drawn = [
        generator.multinomial(len(values), shares, size=min(step, rounds - start)) @ distinct
        for start in range(0, rounds, step)
    ]
    return np.concatenate(drawn) / len(values)
