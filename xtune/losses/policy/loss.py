"""What a policy's loss is given, and what it gives back.

    ratio = p(token) / p_old(token)        p_old: of the policy that sampled the answer

Shapes: T positions of a row; those without a label count nowhere.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from xtune.errors import ConfigError

__all__ = ["Mean", "PolicyLoss", "PolicyTerms", "TokenLosses", "bounded_exp", "require_clip"]

_LARGEST = 20.0  # of a difference of log-probabilities: e^20 is a number, e^100 is none in fp32

# What a step's loss is a mean over: all its tokens; its answers, of which each is the mean over its
# own; or its answers, of which each is a sum divided by one length for all.
Mean = Literal["tokens", "answers", "constant"]


@dataclass(frozen=True, slots=True)
class PolicyTerms:
    """What is known of the tokens of some answers.

    Attributes:
        log_prob: fp32 [T], of each token under the policy that is trained; it has the gradient.
        old_log_prob: fp32 [T], under the policy that sampled it.
        advantage: fp32 [T], how much better the token was than what was to be expected.
        trained: bool [T], which positions have a label.
        answer_mean: of numbers, [T], for each token the mean over its answer's tokens, [T].
    """

    log_prob: Tensor
    old_log_prob: Tensor
    advantage: Tensor
    trained: Tensor
    answer_mean: Callable[[Tensor], Tensor]

    @property
    def ratio(self) -> Tensor:
        """The ratio p / p_old of each token, fp32 [T]; never infinite."""
        return bounded_exp(self.log_prob - self.old_log_prob)


class TokenLosses(NamedTuple):
    """What a loss makes of the tokens.

    Attributes:
        losses: fp32 [T], with a gradient.
        too_low: bool [T], tokens without a gradient since their ratio is below the clip.
        too_high: bool [T], the same above it.
    """

    losses: Tensor
    too_low: Tensor
    too_high: Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyLoss(ABC):
    """A loss of sampled answers, made from its options; registered in POLICY_LOSSES by its name.

    Attributes:
        mean: what a step's loss is a mean over.
    """

    mean: ClassVar[Mean] = "tokens"

    @abstractmethod
    def __call__(self, terms: PolicyTerms) -> TokenLosses:
        """Return the loss of each token.

        Args:
            terms: of the tokens.
        """

    @property
    def length(self) -> float:
        """By what an answer's sum is divided where the mean is 'constant', in tokens."""
        return 1.0


def bounded_exp(difference: Tensor) -> Tensor:
    """Return e to the power of a difference of log-probabilities, which is bounded to 20 nats."""
    return difference.clamp(-_LARGEST, _LARGEST).exp()


def require_clip(low: float, high: float | None, largest: float = 1.0) -> None:
    """Refuse bounds of a ratio that are none.

    Args:
        low: how far below 1 it may be.
        high: how far above 1.
        largest: that `low` may be.

    Raises:
        ConfigError: a bound is not above 0.
    """
    if not 0 < low <= largest or (high is not None and not 0 < high < torch.inf):
        raise ConfigError(
            f"the ratio is clipped to 1 - {low} … 1 + {high}: give a clip_low above 0, at most "
            f"{largest:g}, and a clip_high above 0"
        )
