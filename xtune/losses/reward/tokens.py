"""A loss of the scores at each position that both answers of a pair have.

Shapes: P pairs, N positions of all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from xtune.losses.reward.terms import RewardLoss, RewardTerms, softened
from xtune.registry import REWARD_LOSSES

__all__ = ["TokenAligned"]


@REWARD_LOSSES.register_module("token_aligned")
@dataclass(frozen=True, slots=True, kw_only=True)
class TokenAligned(RewardLoss):
    """Bradley-Terry at every position, as DeepSpeed-Chat has it, but for its ends.

        mean over t = d … e of  -log sigmoid(r_w[t] - r_l[t])

    d is the first token that differs, e the earlier of the two ends: DeepSpeed-Chat goes on to the
    later one and compares what it makes of padding, from which lengths are learnt. The same tokens
    twice have no such position, and a loss of 0.
    """

    reads_tokens: ClassVar[bool] = True

    def __call__(self, pairs: RewardTerms) -> Tensor:
        """Return the loss of each pair, [P]."""
        tokens = pairs.tokens
        assert tokens is not None
        soft = None if pairs.soft_label is None else pairs.soft_label[tokens.pair]
        losses = softened(lambda u: -logsigmoid(u), tokens.better - tokens.worse, soft)
        sums = torch.zeros_like(pairs.better).index_add(0, tokens.pair, losses)
        counts = torch.bincount(tokens.pair, minlength=len(pairs.better)).clamp(min=1)
        return sums / counts + 0.0 * (pairs.better + pairs.worse)  # connected without a position
