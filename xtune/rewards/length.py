"""What a long answer loses: DAPO's soft punishment of answers that come near their limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xtune.errors import ConfigError
from xtune.generation.sampled_answer import SampledAnswer
from xtune.registry import REWARDS

__all__ = ["LengthReward"]


@REWARDS.register_module("length")
@dataclass(frozen=True, slots=True, kw_only=True)
class LengthReward:
    """0 up to `longest - buffer` tokens, -1 from `longest` on, a line between.

    Soft overlong punishment of DAPO (Yu et al., 2025, arXiv 2503.14476, equation 13).

    Attributes:
        longest: tokens; mostly the rollout's max_new_tokens.
        buffer: tokens over which the reward falls.
    """

    longest: int
    buffer: int

    def __post_init__(self) -> None:
        if not 0 < self.buffer <= self.longest:
            raise ConfigError(
                f"reward 'length': buffer={self.buffer}, longest={self.longest}; the buffer is 1 "
                "token or more, and no more than the longest answer"
            )

    def __call__(self, answers: Sequence[SampledAnswer]) -> list[float]:
        """Return a number from -1 to 0 for each answer."""
        free = self.longest - self.buffer
        over = [len(answer.tokens) - free for answer in answers]
        return [-min(max(one, 0) / self.buffer, 1.0) for one in over]
