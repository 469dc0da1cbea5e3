"""Losses with one ratio a token, which is clipped; they differ in what the mean is over.

u = min(ratio A, clip(ratio, 1 - clip_low, 1 + clip_high) A)        loss -u
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from xtune.errors import ConfigError
from xtune.losses.policy.loss import Mean, PolicyLoss, PolicyTerms, TokenLosses, require_clip
from xtune.registry import POLICY_LOSSES

__all__ = ["Dapo", "DrGrpo", "Grpo", "Ppo"]


@POLICY_LOSSES.register_module("grpo")
@dataclass(frozen=True, slots=True, kw_only=True)
class Grpo(PolicyLoss):
    """GRPO (Shao et al., 2024, arXiv 2402.03300): the mean over answers of each one's mean.

    A token of a long answer counts less than one of a short answer.

    Attributes:
        clip_low: how far below 1 the ratio has a gradient.
        clip_high: how far above 1.
    """

    mean: ClassVar[Mean] = "answers"

    clip_low: float = 0.2
    clip_high: float = 0.2

    def __post_init__(self) -> None:
        require_clip(self.clip_low, self.clip_high)

    def __call__(self, terms: PolicyTerms) -> TokenLosses:
        """Return the loss of each token; see `PolicyLoss`.

        Args: as `PolicyLoss.__call__`.
        """
        ratio, advantage = terms.ratio, terms.advantage
        low, high = 1 - self.clip_low, 1 + self.clip_high
        losses = -torch.minimum(ratio * advantage, ratio.clamp(low, high) * advantage)
        too_low = terms.trained & (ratio < low) & (advantage < 0)
        too_high = terms.trained & (ratio > high) & (advantage > 0)
        return TokenLosses(losses, too_low, too_high)


@POLICY_LOSSES.register_module("dapo")
@dataclass(frozen=True, slots=True, kw_only=True)
class Dapo(Grpo):
    """DAPO (Yu et al., 2025, arXiv 2503.14476): the mean over all tokens of a step; clip-higher.

    Attributes:
        clip_low: how far below 1 the ratio has a gradient.
        clip_high: how far above 1; more than below, so that unlikely tokens may become likely.
    """

    mean: ClassVar[Mean] = "tokens"

    clip_high: float = 0.28


@POLICY_LOSSES.register_module("dr_grpo")
@dataclass(frozen=True, slots=True, kw_only=True)
class DrGrpo(Grpo):
    """Dr. GRPO (Liu et al., 2025, arXiv 2503.20783): each answer's sum divided by one length.

    Attributes:
        clip_low: how far below 1 the ratio has a gradient.
        clip_high: how far above 1.
        longest: tokens that every answer's sum is divided by: the most that an answer may have.
    """

    mean: ClassVar[Mean] = "constant"

    longest: int

    def __post_init__(self) -> None:
        Grpo.__post_init__(self)
        if self.longest < 1:
            raise ConfigError(f"longest is {self.longest}; give the rollout's max_new_tokens")

    @property
    def length(self) -> float:
        """By what an answer's sum is divided, in tokens."""
        return float(self.longest)


@POLICY_LOSSES.register_module("ppo")
@dataclass(frozen=True, slots=True, kw_only=True)
class Ppo(Grpo):
    """PPO (Schulman et al., 2017, arXiv 1707.06347): the mean over all tokens of a step.

    Attributes:
        clip_low: how far below 1 the ratio has a gradient.
        clip_high: how far above 1.
        dual_clip: dual clip (Ye et al., 2020, arXiv 1912.09729): a token with A < 0 has a loss of
            at most -dual_clip A, mostly 3; None: however much.
    """

    mean: ClassVar[Mean] = "tokens"

    dual_clip: float | None = None

    def __post_init__(self) -> None:
        Grpo.__post_init__(self)
        if self.dual_clip is not None and not self.dual_clip > 1:
            raise ConfigError(f"dual_clip is {self.dual_clip}; it is above 1, or None")

    def __call__(self, terms: PolicyTerms) -> TokenLosses:
        """Return the loss of each token; see `PolicyLoss`.

        Args: as `PolicyLoss.__call__`.
        """
        losses, too_low, too_high = Grpo.__call__(self, terms)
        if self.dual_clip is None:
            return TokenLosses(losses, too_low, too_high)
        most = -self.dual_clip * terms.advantage
        over = terms.trained & (terms.advantage < 0) & (losses > most)
        return TokenLosses(torch.where(over, most, losses), too_low, too_high | over)
