"""Groups: samples that are read, cut, cached, packed, shown and counted as one.

    of a dialogue, a text     1 sample each
    of a pair                 2: the chosen answer, then the rejected one, after the same prompt
    of ranked answers         K, the best first
    of an answer judged alone 1

The samples of a group follow each other, and `side` numbers them from 0: where it is 0, or where a
sample has none, a group begins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from xtune.structures import Sample

__all__ = ["as_group", "bounds_of", "joined", "totals"]


def as_group(samples: Sequence[Sample]) -> list[Sample]:
    """Number the samples of one group in their order."""
    return [
        replace(sample, per_document={**sample.per_document, "side": place})
        for place, sample in enumerate(samples)
    ]


def bounds_of(sides: Iterable[float]) -> np.ndarray:
    """Return where groups begin, and the number of samples: int64 [groups + 1].

    >>> bounds_of([0, 1, 0, 1, 0]).tolist()
    [0, 2, 4, 5]

    Args:
        sides: of all samples, in order.
    """
    given = np.fromiter(sides, dtype=np.int64)
    return np.append(np.flatnonzero(given == 0), len(given)).astype(np.int64)


def joined(bounds: Sequence[np.ndarray]) -> np.ndarray:
    """Return the bounds of samples of several sources, one after the other.

    >>> joined([np.array([0, 2, 4]), np.array([0, 2])]).tolist()
    [0, 2, 4, 6]
    """
    starts = np.cumsum([0, *(own[-1] for own in bounds)])
    moved = [own[:-1] + start for own, start in zip(bounds, starts, strict=False)]
    return np.concatenate([*moved, starts[-1:]])


def totals(values: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Add up the numbers of each group's samples: int64 [groups].

    Args:
        values: one for each sample.
        bounds: as `bounds_of` gives them, of at least one group.
    """
    return np.add.reduceat(values, bounds[:-1], dtype=np.int64)
