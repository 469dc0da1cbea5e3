"""`pairs_of`: which documents of a batch make a pair, of two answers or of K ranked ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from xtune.structures import Batch

__all__ = ["Pairs", "halves", "pairs_of"]


@dataclass(frozen=True, slots=True)
class Pairs:
    """The pairs of a batch: of each two answers of a prompt the better one and the worse one.

    Attributes:
        better: int64 [P], numbers of documents.
        worse: int64 [P].
        share: fp32 [P], 1 / number of pairs of the same prompt: what they count sums up to 1.
    """

    better: Tensor
    worse: Tensor
    share: Tensor

    @property
    def prompts(self) -> float:
        """How many prompts have a pair."""
        return float(self.share.sum().round())


def pairs_of(batch: Batch) -> Pairs:
    """Return all pairs of a batch's prompts: one of two answers, C(K, 2) of K ranked ones.

        side    [0 1 | 0 1 2]      rank  [0 1 | 0 1 1]: the last two are equally good
        better  [0 | 2 2]
        worse   [1 | 3 4]
        share   [1 | 1/2 1/2]

    In the order of the better one's number, then of the worse one's.

    Args:
        batch: with `side` in `per_document`, and `rank` if answers were ranked.
    """
    sides = batch.per_document["side"]
    groups = (sides == 0).cumsum(0) - 1
    ranks = batch.per_document.get("rank")
    places = sides if ranks is None else torch.where(ranks < 0, sides, ranks)
    together = groups[:, None] == groups[None, :]
    better, worse = (together & (places[:, None] < places[None, :])).nonzero(as_tuple=True)
    count = torch.bincount(groups[better], minlength=len(groups))
    return Pairs(better, worse, 1 / count[groups[better]].float())


def halves(lengths: Sequence[int]) -> list[int]:
    """Return the lengths of the two documents that each document of an example is made into.

        [5 4]  ->  [3 2 2 2]

    Args:
        lengths: tokens of each.
    """
    return [half for length in lengths for half in (length - length // 2, length // 2)]
