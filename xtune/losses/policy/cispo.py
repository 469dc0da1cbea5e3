"""CISPO: the ratio, bounded and without a gradient, is the weight of a token's log-probability."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from xtune.errors import ConfigError
from xtune.losses.policy.loss import PolicyLoss, PolicyTerms, TokenLosses
from xtune.registry import POLICY_LOSSES

__all__ = ["Cispo"]


@POLICY_LOSSES.register_module("cispo")
@dataclass(frozen=True, slots=True, kw_only=True)
class Cispo(PolicyLoss):
    """CISPO (MiniMax, 2025, arXiv 2506.13585): -stop(min(ratio, largest)) A log p, over all tokens.

    No token loses its gradient, however far it has moved.

    Attributes:
        largest: that the weight may be; there is no smallest.
    """

    largest: float = 5.0

    def __post_init__(self) -> None:
        if not self.largest >= 1:
            raise ConfigError(f"largest is {self.largest}; it bounds a ratio: 1 or more, mostly 5")

    def __call__(self, terms: PolicyTerms) -> TokenLosses:
        """Return the loss of each token; see `PolicyLoss`.

        Args: as `PolicyLoss.__call__`.
        """
        ratio = terms.ratio.detach()
        losses = -ratio.clamp(max=self.largest) * terms.advantage * terms.log_prob
        none = torch.zeros_like(terms.trained)
        return TokenLosses(losses, none, terms.trained & (ratio > self.largest))
