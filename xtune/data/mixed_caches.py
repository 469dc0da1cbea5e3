"""`MixedCaches`: the samples of several token caches by one number each, and those of an epoch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from xtune.data.cache import TokenCache, read_cache
from xtune.data.groups import joined
from xtune.data.mixture import Share, choose
from xtune.structures import Sample
from xtune.vectors import VECTORS

__all__ = ["CachedSource", "MixedCaches"]


@dataclass(frozen=True, slots=True)
class CachedSource:
    """A source whose samples are in a token cache, as a run notes it.

    Attributes:
        name: for people.
        key: of the cache.
        epochs, weight, seed: how often an epoch shows its samples; see mixture.py.
    """

    name: str
    key: str
    epochs: float | None = None
    weight: float | None = None
    seed: int = 0


class MixedCaches:
    """Caches one after the other.

    Attributes:
        caches: as given.
        vectors: names of the numbers that tokens or documents have besides their ids and labels.
        chosen_of_each: of each cache, its groups that an epoch has, int64.
        chosen: the same as groups of all, one cache after the other.
        lengths: tokens of each sample, int64 [N].
        bounds: where groups begin, int64 [groups + 1]; see groups.py.

    Args:
        shares: how often an epoch shows the samples of each.
        caches: as many.
    """

    def __init__(self, shares: Sequence[Share], caches: Sequence[TokenCache]) -> None:
        self.caches = list(caches)
        self._starts = np.cumsum([0, *map(len, caches)])  # samples before each
        self.vectors: frozenset[str] = frozenset().union(*(one.vectors for one in caches))
        self._neutrals = [
            {
                name: VECTORS[name].neutral
                for name in self.vectors - cache.vectors
                if VECTORS[name].kind == "document"
            }
            for cache in caches
        ]
        bounds = [cache.bounds for cache in caches]
        groups = [len(own) - 1 for own in bounds]
        self.chosen_of_each = choose(shares, groups)
        before = np.cumsum([0, *groups])
        self._groups_before = before
        self.chosen: np.ndarray = np.concatenate(
            [start + own for start, own in zip(before, self.chosen_of_each, strict=False)]
        )
        self.lengths: np.ndarray = np.concatenate([cache.lengths for cache in caches])
        self.bounds: np.ndarray = joined(bounds)

    @classmethod
    def read(cls, sources: Sequence[CachedSource]) -> Self:
        """Open the caches that a run has noted; nothing is written.

        Args:
            sources: at least one.

        Raises:
            DataError: a cache is no longer there, or is damaged.
        """
        shares = [
            Share(
                data_path=source.name,
                map_fn="",
                split="",
                epochs=source.epochs,
                weight=source.weight,
                seed=source.seed,
            )
            for source in sources
        ]
        return cls(shares, [read_cache(source.key) for source in sources])

    @property
    def trained_lengths(self) -> np.ndarray:
        """Tokens of each sample that have a label, int64 [N]."""
        return np.concatenate([cache.trained_lengths for cache in self.caches])

    def sample(self, index: int) -> Sample:
        """Return one tokenised document."""
        source = int(np.searchsorted(self._starts, index, side="right")) - 1
        sample = self.caches[source].sample(index - int(self._starts[source]))
        # What only another source tells of its documents: no batch lacks what some batches have
        sample.per_document.update(self._neutrals[source])
        return sample

    def source_of(self, groups: np.ndarray) -> np.ndarray:
        """Return of which cache groups are, by its place: int64, as many.

        Args:
            groups: numbers of them.
        """
        return np.searchsorted(self._groups_before, groups, side="right") - 1
