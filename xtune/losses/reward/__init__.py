"""Losses of reward and cost models: pure functions of the scores of better and worse answers.

terms.py        `RewardTerms`, what a loss is given, and `RewardLoss`, what it is
pairwise.py     of a pair's two scores: Bradley-Terry, focal
tokens.py       of the scores at each position that both answers have
cost.py         Safe-RLHF's cost, whose sign is a verdict
penalties.py    what keeps scores near 0: added to any of them
"""

from __future__ import annotations

from xtune.losses.reward.terms import AlignedTokens, RewardLoss, RewardTerms

__all__ = ["AlignedTokens", "RewardLoss", "RewardTerms"]
