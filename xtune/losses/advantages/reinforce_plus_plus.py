"""REINFORCE++: what is still to come at each token, whitened over all tokens of the iteration."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xtune.losses.advantages.advantage import Advantage, Scored
from xtune.losses.advantages.whitening import whitened
from xtune.registry import ADVANTAGES

__all__ = ["ReinforcePlusPlus", "still_to_come"]


@ADVANTAGES.register_module("reinforce_plus_plus")
@dataclass(frozen=True, slots=True)
class ReinforcePlusPlus(Advantage):
    """REINFORCE++ (Hu, 2025, arXiv 2501.03262): no groups, no critic.

    A token's return is the answer's reward, which its last token has, minus what the distance from
    the reference takes away from this token on.
    """

    def __call__(self, scored: Scored) -> Tensor:
        """Return the advantage of each token; see `Advantage`.

        Args: as `Advantage.__call__`.
        """
        returns = scored.over_tokens(scored.rewards)
        if scored.kl is not None and scored.kl_in_reward:
            returns = returns - still_to_come(scored.kl_in_reward * scored.kl, scored.lengths)
        known = ~returns.isnan()
        whole = torch.zeros_like(returns)
        whole[known] = whitened(returns[known])
        return whole


def still_to_come(values: Tensor, lengths: Tensor) -> Tensor:
    """Return for each token the sum from it to the end of its answer.

    >>> still_to_come(torch.tensor([1., 2., 3., 4.]), torch.tensor([3, 1])).tolist()
    [6.0, 5.0, 3.0, 4.0]

    Args:
        values: [T], of all answers, one after another.
        lengths: int64 [N], of the answers.
    """
    parts = values.split(lengths.tolist())
    return torch.cat([part.flip(0).cumsum(0).flip(0) for part in parts] or [values])
