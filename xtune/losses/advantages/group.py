"""Advantages against the other answers to the same prompt: one number for all tokens of an answer.

Shapes: N answers, T tokens.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from xtune.losses.advantages.advantage import Advantage, Scored
from xtune.registry import ADVANTAGES

__all__ = ["BatchStd", "DrGrpo", "GroupAdvantage", "Grpo", "Rloo", "group_moments"]

_EPSILON = 1e-4  # of a standard deviation, as the papers' own code has it


class GroupAdvantage(Advantage):
    """Compares the answers to a prompt with each other."""

    def __call__(self, scored: Scored) -> Tensor:
        """Return the advantage of each token; see `Advantage`.

        Args: as `Advantage.__call__`.
        """
        rewards = scored.rewards - scored.penalties
        return scored.over_tokens(self.of_answers(rewards, scored.groups).nan_to_num())

    @abstractmethod
    def of_answers(self, rewards: Tensor, groups: Tensor) -> Tensor:
        """Return the advantage of each answer, [N].

        Args:
            rewards: float64 [N]; nan where there is none.
            groups: int64 [N], the prompt of each.
        """


@ADVANTAGES.register_module("grpo")
@dataclass(frozen=True, slots=True)
class Grpo(GroupAdvantage):
    """GRPO (Shao et al., 2024, arXiv 2402.03300): (R - mean) / (std + 1e-4), both of the group.

    The standard deviation divides by n - 1. Where all rewards of a group are equal it is 0.
    """

    def of_answers(self, rewards: Tensor, groups: Tensor) -> Tensor:  # noqa: D102
        mean, std, _ = group_moments(rewards, groups)
        return (rewards - mean) / (std + _EPSILON)


@ADVANTAGES.register_module("dr_grpo")
@dataclass(frozen=True, slots=True)
class DrGrpo(GroupAdvantage):
    """Dr. GRPO (Liu et al., 2025, arXiv 2503.20783): R - mean of the group.

    A group's standard deviation would make easy and hard prompts count more than others.
    """

    def of_answers(self, rewards: Tensor, groups: Tensor) -> Tensor:  # noqa: D102
        mean, _, _ = group_moments(rewards, groups)
        return rewards - mean


@ADVANTAGES.register_module("batch_std")
@dataclass(frozen=True, slots=True)
class BatchStd(GroupAdvantage):
    """Liu et al. (2025, arXiv 2508.08221): (R - mean of the group) / (std of all rewards + 1e-4).

    The standard deviation is that of the rewards themselves, of all answers, divided by n - 1.
    """

    def of_answers(self, rewards: Tensor, groups: Tensor) -> Tensor:  # noqa: D102
        mean, _, _ = group_moments(rewards, groups)
        known = rewards[~rewards.isnan()]
        std = known.std() if len(known) > 1 else known.new_zeros(())
        return (rewards - mean) / (std + _EPSILON)


@ADVANTAGES.register_module("rloo")
@dataclass(frozen=True, slots=True)
class Rloo(GroupAdvantage):
    """RLOO (Ahmadian et al., 2024, arXiv 2402.14740): R - mean of the other answers.

    It is n / (n - 1) of R - mean. An answer that is alone has nothing to be compared with: 0.
    """

    def of_answers(self, rewards: Tensor, groups: Tensor) -> Tensor:  # noqa: D102
        mean, _, count = group_moments(rewards, groups)
        return (rewards - mean) * count / (count - 1).clamp(min=1)


def group_moments(rewards: Tensor, groups: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each answer the mean, the standard deviation and the count of its group.

    Rewards that are equal have exactly that mean and a standard deviation of 0, whatever rounding
    a sum would bring.

    Args:
        rewards: float64 [N]; nan where there is none.
        groups: int64 [N].

    Returns:
        Three float64 [N]; the deviation divides by n - 1 and is 0 of one answer.
    """
    known = ~rewards.isnan()
    # From the group's first known reward on: of equal ones nothing is left to round
    count_of = int(groups.max()) + 1 if len(groups) else 0
    zeros = torch.zeros(count_of, dtype=torch.float64)
    lowest = zeros.fill_(torch.inf).scatter_reduce(0, groups[known], rewards[known], "amin")
    base = lowest[groups]
    above = torch.where(known, rewards - base, 0.0)
    counts = torch.zeros(count_of, dtype=torch.float64).index_add(0, groups, known.double())
    means = torch.zeros(count_of, dtype=torch.float64).index_add(0, groups, above)
    means = means / counts.clamp(min=1)
    apart = torch.where(known, above - means[groups], 0.0).square()
    squares = torch.zeros(count_of, dtype=torch.float64).index_add(0, groups, apart)
    std = (squares / (counts - 1).clamp(min=1)).sqrt()
    return base + means[groups], std[groups], counts[groups]
