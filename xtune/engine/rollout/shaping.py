"""What is made of rewards before advantages are: bounds, and what an unended answer gets.

Shapes: N answers.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xtune.errors import ConfigError

__all__ = ["Shaping"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shaping:
    """Shapes the rewards of an iteration.

    Attributes:
        clip: rewards are at least -clip and at most clip; None: as they are.
        unended_reward: of an answer that was cut, in place of its own (Huang et al., 2024, arXiv
            2403.17031, have -1); None: its own.
        unended_penalty: what its own loses (TRL's missing_eos_penalty).
    """

    clip: float | None = None
    unended_reward: float | None = None
    unended_penalty: float = 0.0

    def __post_init__(self) -> None:
        if self.clip is not None and not self.clip > 0:
            raise ConfigError(f"reward_clip is {self.clip}; it is above 0, or None")
        if self.unended_reward is not None and self.unended_penalty:
            raise ConfigError(
                "unended_reward takes the place of a cut answer's reward, and unended_penalty is "
                "taken from it: give one of them"
            )

    def __call__(self, rewards: Tensor, ended: Tensor) -> Tensor:
        """Return the rewards to learn from, [N]; what is nan stays so, unless it is replaced.

        Args:
            rewards: float64 [N]; nan where nothing has scored an answer.
            ended: bool [N]: the answer has an end, and was not cut.
        """
        if self.clip is not None:
            rewards = rewards.clamp(-self.clip, self.clip)
        if self.unended_reward is not None:
            return torch.where(ended, rewards, self.unended_reward)
        return torch.where(ended, rewards, rewards - self.unended_penalty)
