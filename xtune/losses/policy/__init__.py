"""Losses of a policy's own answers: pure functions of log-probabilities and advantages.

loss.py        `PolicyTerms`, what a loss is given, and `PolicyLoss`, what it is
clipped.py     one ratio a token, clipped: ppo, grpo, dapo, dr_grpo
gspo.py        one ratio an answer
cispo.py       the ratio is a weight, and the log-probability has the gradient
value.py       the loss of a critic
kl.py          how far the policy is from its reference
"""

from __future__ import annotations

from xtune.losses.policy.loss import PolicyLoss, PolicyTerms, TokenLosses

__all__ = ["PolicyLoss", "PolicyTerms", "TokenLosses"]
