"""GSPO: one ratio an answer, the geometric mean of its tokens' ratios."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from xtune.losses.policy.loss import (
    Mean,
    PolicyLoss,
    PolicyTerms,
    TokenLosses,
    bounded_exp,
    require_clip,
)
from xtune.registry import POLICY_LOSSES

__all__ = ["Gspo"]


@POLICY_LOSSES.register_module("gspo")
@dataclass(frozen=True, slots=True, kw_only=True)
class Gspo(PolicyLoss):
    """GSPO (Zheng et al., 2025, arXiv 2507.18071), equation 5 with the ratio of equation 7.

    All tokens of an answer have the same ratio, exp of the mean of log p - log p_old; it is much
    closer to 1 than a token's own, and so is the clip.

    Attributes:
        clip_low: how far below 1 the ratio has a gradient.
        clip_high: how far above 1.
    """

    mean: ClassVar[Mean] = "answers"

    clip_low: float = 3e-4
    clip_high: float = 4e-4

    def __post_init__(self) -> None:
        require_clip(self.clip_low, self.clip_high)

    def __call__(self, terms: PolicyTerms) -> TokenLosses:
        """Return the loss of each token; see `PolicyLoss`.

        Args: as `PolicyLoss.__call__`.
        """
        ratio = bounded_exp(terms.answer_mean(terms.log_prob - terms.old_log_prob))
        advantage = terms.advantage
        low, high = 1 - self.clip_low, 1 + self.clip_high
        losses = -torch.minimum(ratio * advantage, ratio.clamp(low, high) * advantage)
        too_low = terms.trained & (ratio < low) & (advantage < 0)
        too_high = terms.trained & (ratio > high) & (advantage > 0)
        return TokenLosses(losses.masked_fill(~terms.trained, 0.0), too_low, too_high)
