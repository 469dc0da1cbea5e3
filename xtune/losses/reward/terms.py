"""`RewardTerms`: the scores of pairs of answers, and `RewardLoss`: what a loss makes of them.

Shapes: P pairs, N positions of all pairs at which both answers have a token.

A loss gives one number for each pair; whoever trains takes the mean over the pairs of a prompt,
and over **all** prompts of an optimizer step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

__all__ = ["AlignedTokens", "RewardLoss", "RewardTerms", "softened"]


@dataclass(frozen=True, slots=True)
class AlignedTokens:
    """Scores at the positions of pairs from the first token that differs to the earlier end.

    Attributes:
        better: fp32 [N], of the better answer of the position's pair.
        worse: fp32 [N], of the worse one, as many tokens from its beginning.
        pair: int64 [N], the number of the pair. A pair of the same tokens has no position.
    """

    better: Tensor
    worse: Tensor
    pair: Tensor


@dataclass(frozen=True, slots=True)
class RewardTerms:
    """What a reward model says of P pairs, and what their data say of them.

    Attributes:
        better: fp32 [P], score of the better answer; of a cost model the safer one.
        worse: fp32 [P], of the worse one.
        margin: fp32 [P], by how much the better answer is better, 0 or more; None: not known.
        soft_label: fp32 [P], how probable it is that it is better; None: certain.
        better_safe: fp32 [P], 1 if the better answer is safe, -1 if not, 0 if nobody knows.
        worse_safe: fp32 [P], the same of the worse one.
        tokens: the scores at their positions; None where the loss does not read them.
    """

    better: Tensor
    worse: Tensor
    margin: Tensor | None = None
    soft_label: Tensor | None = None
    better_safe: Tensor | None = None
    worse_safe: Tensor | None = None
    tokens: AlignedTokens | None = None


class RewardLoss(ABC):
    """A loss of scored pairs, made from its options; registered in REWARD_LOSSES by its name.

    Attributes:
        is_cost: the model's numbers are costs: the better answer is to have the lower one, and
            0 lies between safe and unsafe.
        reads_tokens: it compares answers position by position.
    """

    is_cost: ClassVar[bool] = False
    reads_tokens: ClassVar[bool] = False

    @property
    def vectors(self) -> tuple[str, ...]:
        """Names of the vectors of a document that the data must have."""
        return ()

    @abstractmethod
    def __call__(self, pairs: RewardTerms) -> Tensor:
        """Return the loss of each pair, [P], in the dtype of the scores.

        Args:
            pairs: with what `vectors` and `reads_tokens` ask for.
        """


def softened(loss: Callable[[Tensor], Tensor], apart: Tensor, soft_label: Tensor | None) -> Tensor:
    """Return q loss(u) + (1 - q) loss(-u): q is the probability that the order is right.

    Args:
        loss: of a difference, elementwise.
        apart: u, any shape.
        soft_label: q, of that shape; None: 1.
    """
    if soft_label is None:
        return loss(apart)
    return soft_label * loss(apart) + (1 - soft_label) * loss(-apart)
