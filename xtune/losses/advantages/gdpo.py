"""GDPO: each reward is compared within its group by itself, so that none drowns another."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xtune.losses.advantages.advantage import Advantage, Scored
from xtune.losses.advantages.group import Grpo
from xtune.losses.advantages.whitening import whitened
from xtune.registry import ADVANTAGES

__all__ = ["Gdpo"]


@ADVANTAGES.register_module("gdpo")
@dataclass(frozen=True, slots=True)
class Gdpo(Advantage):
    """GDPO (2026, arXiv 2601.05242): GRPO's advantage of each reward, their weighted sum, whitened.

    Several rewards whose sums are equal would tell nothing apart; each by itself does. What the
    distance from the reference takes away is a reward of its own, of weight 1.
    """

    def __call__(self, scored: Scored) -> Tensor:
        """Return the advantage of each token; see `Advantage`.

        Args: as `Advantage.__call__`.
        """
        compare = Grpo().of_answers
        each = [compare(column, scored.groups) for column in scored.by_function.T]
        sums = scored.weighted(torch.stack(each, dim=1))
        if scored.kl is not None and scored.kl_in_reward:
            sums = sums + compare(-scored.penalties, scored.groups)
        known = ~sums.isnan()
        whole = torch.zeros_like(sums)
        whole[known] = whitened(sums[known])
        return scored.over_tokens(whole)
