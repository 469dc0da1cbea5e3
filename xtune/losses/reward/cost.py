"""Safe-RLHF's loss of a cost model. Shapes: P pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import logsigmoid

from xtune.losses.reward.terms import RewardLoss, RewardTerms, softened
from xtune.registry import REWARD_LOSSES

__all__ = ["SafeRlhfCost"]


@REWARD_LOSSES.register_module("safe_rlhf_cost")
@dataclass(frozen=True, slots=True, kw_only=True)
class SafeRlhfCost(RewardLoss):
    """A cost, above 0 for what is unsafe (Dai et al., 2023, arXiv 2310.12773).

        -log s(c_l - c_w) - log s(-s_w c_w) - log s(-s_l c_l)        s(): the logistic function

    w is the safer answer, which costs less, l the other one; s_w and s_l are 1 if an answer is
    safe and -1 if it is not. What nobody has judged (0) has no term of its own.
    """

    is_cost: ClassVar[bool] = True

    @property
    def vectors(self) -> tuple[str, ...]:
        """`safe`."""
        return ("safe",)

    def __call__(self, pairs: RewardTerms) -> Tensor:
        """Return the loss of each pair, [P]."""
        assert pairs.better_safe is not None
        assert pairs.worse_safe is not None
        apart = softened(lambda u: -logsigmoid(u), pairs.worse - pairs.better, pairs.soft_label)
        return (
            apart
            + _verdict(pairs.better, pairs.better_safe)
            + _verdict(pairs.worse, pairs.worse_safe)
        )


def _verdict(costs: Tensor, safe: Tensor) -> Tensor:
    return -logsigmoid(-safe * costs) * safe.abs()
