"""Generalised advantage estimation: what a critic did not expect, of a token and what follows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xtune.errors import ConfigError
from xtune.losses.advantages.advantage import Advantage, Scored
from xtune.losses.advantages.whitening import whitened
from xtune.registry import ADVANTAGES

__all__ = ["Gae"]


@ADVANTAGES.register_module("gae")
@dataclass(frozen=True, slots=True, kw_only=True)
class Gae(Advantage):
    """GAE (Schulman et al., 2015, arXiv 1506.02438), which needs a critic.

        r_t     -kl_in_reward (log p - log p_ref), and at the last token the answer's reward too
        d_t     r_t + gamma V_{t+1} - V_t                  V behind the last token is 0
        A_t     d_t + gamma lam A_{t+1}
        return  A_t + V_t, which the critic is to learn

    Advantages, not returns, are whitened over all tokens of the iteration.

    Attributes:
        gamma: what a reward one token later is worth.
        lam: 1 trusts the rewards alone, 0 the critic alone; lambda in the paper.
        whiten: make the advantages' mean 0 and their standard deviation 1.
        whiten_rewards: divide r_t by their standard deviation; the mean is kept.
    """

    gamma: float = 1.0
    lam: float = 0.95
    whiten: bool = True
    whiten_rewards: bool = False

    def __post_init__(self) -> None:
        for name in ("gamma", "lam"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it is from 0 to 1")

    def __call__(self, scored: Scored) -> Tensor:
        """Return the advantage of each token; see `Advantage`.

        Args: as `Advantage.__call__`.
        """
        plain = self._plain(scored)
        known = scored.over_tokens(scored.is_scored)
        whole = torch.zeros_like(plain)
        whole[known] = whitened(plain[known]) if self.whiten else plain[known]
        return whole

    def returns(self, scored: Scored) -> Tensor:
        """Return what the critic is to learn; see `Advantage`.

        Args: as `Advantage.returns`.
        """
        return self._plain(scored) + _values(scored)

    def _plain(self, scored: Scored) -> Tensor:
        values, rewards = _values(scored), self._rewards(scored)
        found = torch.zeros_like(values)
        ends = scored.lengths.cumsum(0).tolist()
        for start, end in zip([0, *ends], ends, strict=False):
            ahead = later = values.new_zeros(())
            for at in range(end - 1, start - 1, -1):
                surprise = rewards[at] + self.gamma * later - values[at]
                ahead = surprise + self.gamma * self.lam * ahead
                found[at], later = ahead, values[at]
        return found

    def _rewards(self, scored: Scored) -> Tensor:
        rewards = torch.zeros(int(scored.lengths.sum()), dtype=torch.float64)
        if scored.kl is not None:
            rewards -= scored.kl_in_reward * scored.kl
        rewards[scored.lengths.cumsum(0) - 1] += scored.rewards.nan_to_num()
        return whitened(rewards, keep_mean=True) if self.whiten_rewards else rewards


def _values(scored: Scored) -> Tensor:
    if scored.values is None:
        raise ConfigError(
            "advantage=dict(type='gae') asks a critic what it expects, and the algorithm has none: "
            "name algorithm=dict(type='ActorCritic', …), or another advantage"
        )
    return scored.values
