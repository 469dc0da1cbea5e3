"""What is known of the answers of an iteration, and what an advantage makes of it.

All answers of all processes are given at once, so that nothing depends on how they are shared out.
Sums are float64. Shapes: N answers, F reward functions, T tokens of all answers, one after another.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

__all__ = ["Advantage", "Scored"]


@dataclass(frozen=True)
class Scored:
    """The answers of an iteration.

    Attributes:
        by_function: float64 [N, F], what each reward function gives; nan where it gives nothing.
        weights: float64 [F], of the functions.
        groups: int64 [N], the prompt of each answer, counted from 0; its answers follow each other.
        lengths: int64 [N], tokens of each that are trained.
        kl: float64 [T], log p - log p_ref of each token; None: there is no reference.
        kl_in_reward: how much of it is taken from the reward.
        values: float64 [T], what a critic expects before each token; None: there is none.
        shaped: float64 [N], the rewards, where they are not just the functions' weighted sum.
    """

    by_function: Tensor
    weights: Tensor
    groups: Tensor
    lengths: Tensor
    kl: Tensor | None = None
    kl_in_reward: float = 0.0
    values: Tensor | None = None
    shaped: Tensor | None = None

    @cached_property
    def rewards(self) -> Tensor:
        """The weighted sum of what the functions give, [N]; nan where none gives anything."""
        return self.weighted(self.by_function) if self.shaped is None else self.shaped

    @cached_property
    def is_scored(self) -> Tensor:
        """Bool [N]: which answers any function has scored."""
        return ~self.by_function.isnan().all(dim=1)

    @cached_property
    def answers(self) -> Tensor:
        """The answer of each token, int64 [T]."""
        return torch.arange(len(self.lengths)).repeat_interleave(self.lengths)

    @cached_property
    def penalties(self) -> Tensor:
        """What the distance from the reference takes from each answer's reward, [N]."""
        none = torch.zeros(len(self.lengths), dtype=torch.float64)
        if self.kl is None or not self.kl_in_reward:
            return none
        return none.index_add(0, self.answers, self.kl_in_reward * self.kl)

    def weighted(self, by_function: Tensor) -> Tensor:
        """Add up numbers of the functions by their weights; what is nan is left out.

        Args:
            by_function: [N, F].

        Returns:
            [N]; nan where all F are.
        """
        sums = (by_function.nan_to_num() * self.weights).sum(dim=1)
        return sums.masked_fill(by_function.isnan().all(dim=1), torch.nan)

    def over_tokens(self, values: Tensor) -> Tensor:
        """Give each token its answer's number: [N] -> [T]."""
        return values.repeat_interleave(self.lengths)


class Advantage(ABC):
    """Makes advantages of rewards; registered in ADVANTAGES by its name.

    An answer that nothing has scored has the advantage 0, and is in no mean.
    """

    @abstractmethod
    def __call__(self, scored: Scored) -> Tensor:
        """Return the advantage of each token, float64 [T].

        Args:
            scored: all answers of an iteration.
        """

    def returns(self, scored: Scored) -> Tensor | None:
        """Return what a critic is to learn, float64 [T]; None: this one asks none.

        Args:
            scored: all answers of an iteration.
        """
        return None
