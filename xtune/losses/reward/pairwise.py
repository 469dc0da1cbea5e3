"""Losses of a pair's two scores: Bradley-Terry, with a margin; focal.

Shapes: P pairs. r_w, r_l: scores of the better and the worse answer.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import logsigmoid

from xtune.errors import ConfigError
from xtune.losses.reward.terms import RewardLoss, RewardTerms, softened
from xtune.registry import REWARD_LOSSES

__all__ = ["BradleyTerry", "Focal"]


@REWARD_LOSSES.register_module("bradley_terry")
@dataclass(frozen=True, slots=True, kw_only=True)
class BradleyTerry(RewardLoss):
    """The logistic loss of a difference (Ouyang et al., 2022, arXiv 2203.02155).

        -log sigmoid(r_w - r_l - margin_weight m)

    m is how much better the data say the answer is (Llama 2, 2023, arXiv 2307.09288). Where the
    data have a `soft_label` q, it is the cross-entropy of q.

    Attributes:
        margin_weight: of m, which the data must have then; 0: m is not used; 1: Llama 2's.
    """

    margin_weight: float = 0.0

    def __post_init__(self) -> None:
        if self.margin_weight < 0:
            raise ConfigError(f"margin_weight is {self.margin_weight}; it is 0 (off) or more")

    @property
    def vectors(self) -> tuple[str, ...]:
        """`score`, if the margin counts."""
        return ("score",) if self.margin_weight else ()

    def __call__(self, pairs: RewardTerms) -> Tensor:
        """Return the loss of each pair, [P]."""
        apart = pairs.better - pairs.worse
        if self.margin_weight:
            assert pairs.margin is not None
            apart = apart - self.margin_weight * pairs.margin
        return softened(lambda u: -logsigmoid(u), apart, pairs.soft_label)


@REWARD_LOSSES.register_module("focal")
@dataclass(frozen=True, slots=True, kw_only=True)
class Focal(RewardLoss):
    """Pairs that the model is sure of count less (InternLM2, 2024, arXiv 2403.17297).

        -(1 - 2 max(0, P - 1/2))^gamma log P        P = sigmoid(r_w - r_l)

    Attributes:
        gamma: 2 there; 0 is Bradley-Terry.
    """

    gamma: float = 2.0

    def __post_init__(self) -> None:
        if self.gamma < 0:
            raise ConfigError(f"gamma is {self.gamma}; it is 0 (every pair counts alike) or more")

    def __call__(self, pairs: RewardTerms) -> Tensor:
        """Return the loss of each pair, [P]."""
        return softened(self._of, pairs.better - pairs.worse, pairs.soft_label)

    def _of(self, apart: Tensor) -> Tensor:
        # 1 - 2 (P - 1/2) = 2 (1 - P), which is exact where P is near 1
        weight = (2 * (-apart).sigmoid()).clamp(max=1.0) ** self.gamma
        return -weight * logsigmoid(apart)
