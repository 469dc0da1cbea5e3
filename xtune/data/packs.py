"""`Packs`: the items of a data set, each a pack of groups of samples, or a single group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from xtune.data.collate import collate
from xtune.data.groups import totals
from xtune.data.loader import StepLoader
from xtune.data.pack import pack
from xtune.data.report import DataReport
from xtune.structures import Batch, Sample

__all__ = ["Packs"]


class Packs:
    """Items of samples that are known by number; item i is `pack(i)`, a list of these numbers.

    A group of samples is in one item, whole and in its order. `sample` is to be written.

    Attributes:
        report: what became of the rows.
        attached: numbers of the samples that `attach` was given, by name.

    Args:
        report: see above; it is told of the packs.
        lengths: tokens of each sample, int64 [N].
        bounds: where groups begin, int64 [groups + 1]; see groups.py.
        chosen: the groups of an epoch, int64; one may stand there twice. None: each once.
        pack_length: tokens that a pack has room for; None: each group is an item.

    Raises:
        DataError: a group is longer than a pack.
    """

    def __init__(
        self,
        report: DataReport,
        lengths: np.ndarray,
        bounds: np.ndarray,
        *,
        chosen: np.ndarray | None = None,
        pack_length: int | None,
    ) -> None:
        self.report = report
        self.attached: dict[str, np.ndarray] = {}
        self._bounds = bounds
        self._group_lengths = totals(lengths, bounds)
        self._chosen = np.arange(len(bounds) - 1) if chosen is None else chosen
        self._packs: list[list[int]] | None = None
        if pack_length is not None:
            self._packs = pack(self._group_lengths[self._chosen], length=pack_length)
            report.packs, report.pack_length = len(self._packs), pack_length

    def __len__(self) -> int:
        return len(self._chosen) if self._packs is None else len(self._packs)

    def groups(self, index: int) -> list[int]:
        """Return the groups of item `index`."""
        places = [index] if self._packs is None else self._packs[index]
        return [int(self._chosen[place]) for place in places]

    def pack(self, index: int) -> list[int]:
        """Return the samples of item `index`."""
        bounds = self._bounds
        return [n for g in self.groups(index) for n in range(int(bounds[g]), int(bounds[g + 1]))]

    def item_tokens(self, index: int) -> int:
        """Return how many tokens item `index` has."""
        return int(self._group_lengths[self.groups(index)].sum())

    def longest(self, count: int) -> list[int]:
        """Return the tokens of the `count` longest items, the longest first; of all, if fewer."""
        lengths = self._group_lengths[self._chosen]
        if self._packs is not None:
            lengths = np.array([lengths[places].sum() for places in self._packs])
        return np.sort(lengths)[::-1][:count].tolist()

    def sample(self, index: int) -> Sample:
        """Return one tokenised document."""
        raise NotImplementedError

    def batch(self, indices: Sequence[int]) -> Batch:
        """Return the documents of these items end to end."""
        return self.documents([sample for index in indices for sample in self.pack(index)])

    def documents(self, samples: Sequence[int]) -> Batch:
        """Return samples end to end, with the numbers that were attached to them."""
        batch = collate([self.sample(index) for index in samples], samples)
        for name, values in self.attached.items():
            batch.per_document[name] = torch.from_numpy(values[np.asarray(samples)])
        return batch

    def attach(self, name: str, values: np.ndarray) -> None:
        """Give each sample a number more, which batches have in `per_document`.

        Args:
            name: of a vector of documents, as vectors.py declares it.
            values: [N], in its dtype.
        """
        self.attached[name] = values

    def in_order(self, room: int) -> list[list[int]]:
        """Return the samples of an epoch, each once, in an order that only the data make.

        Args:
            room: tokens that a part has room for, unless one group is longer; groups stay whole.

        Returns:
            The samples of each part.
        """
        parts: list[list[int]] = []
        held = room
        for group in np.unique(self._chosen):
            size = int(self._group_lengths[group])
            if held + size > room:
                parts.append([])
                held = 0
            parts[-1] += range(int(self._bounds[group]), int(self._bounds[group + 1]))
            held += size
        return parts

    def loader(self, **settings: Any) -> StepLoader:
        """Return the micro-batches of each step; `settings` are `StepLoader`'s."""
        return StepLoader(self, **settings)

    def preview(self) -> Packs:
        """Return items to look at: all."""
        return self
