"""Losses of answers that are judged one by one, good or bad, held against a reference.

    r = log p(answer) - log p_ref(answer)

Shapes: N answers.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from xtune.errors import ConfigError
from xtune.registry import UNPAIRED_LOSSES

__all__ = ["ApoZeroUnpaired", "Kto", "UnpairedLoss", "UnpairedTerms"]


@dataclass(frozen=True, slots=True)
class UnpairedTerms:
    """What is known of N answers.

    Attributes:
        gain: fp32 [N], r of each, in nats.
        desirable: bool [N], which of them are good.
        divergence: z, how far the policy is from its reference, in nats, 0 or more; 0 for a loss
            that does not ask for it.
    """

    gain: Tensor
    desirable: Tensor
    divergence: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class UnpairedLoss(ABC):
    """A loss of judged answers, made from its options; registered in UNPAIRED_LOSSES by its name.

    Attributes:
        beta: strength of the reference.
        needs_divergence: it asks for z, which costs a pass of its own.
    """

    needs_divergence: ClassVar[bool] = False

    beta: float = 0.1

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise ConfigError(f"beta is {self.beta}; it must be above 0, and is 0.1 mostly")

    @abstractmethod
    def __call__(self, answers: UnpairedTerms) -> Tensor:
        """Return the loss of each answer, [N], in the dtype of `gain`.

        Args:
            answers: with the divergence if the loss asks for it.
        """

    @property
    def weights(self) -> tuple[float, float]:
        """What a good answer counts, and a bad one."""
        return 1.0, 1.0

    @property
    def at_start(self) -> float | None:
        """What the loss is while the policy is its reference; None: that is not one number."""
        none = torch.zeros(2)
        good, bad = self(UnpairedTerms(none, torch.tensor([True, False]))).tolist()
        return float(good) if good == bad else None


@UNPAIRED_LOSSES.register_module("kto")
@dataclass(frozen=True, slots=True, kw_only=True)
class Kto(UnpairedLoss):
    """KTO (Ethayarajh et al., 2024, arXiv 2402.01306), of prospect theory.

        good    desirable_weight (1 - s(beta (r - z)))          s: the logistic function
        bad     undesirable_weight (1 - s(beta (z - r)))

    No gradient flows through z.

    Attributes:
        beta: strength of the reference.
        desirable_weight: of good answers. Times their number it should be 1 to 4/3 of the same of
            bad ones.
        undesirable_weight: of bad answers.
    """

    needs_divergence: ClassVar[bool] = True

    desirable_weight: float = 1.0
    undesirable_weight: float = 1.0

    def __post_init__(self) -> None:
        UnpairedLoss.__post_init__(self)
        for name in ("desirable_weight", "undesirable_weight"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be above 0")

    @property
    def weights(self) -> tuple[float, float]:
        """What a good answer counts, and a bad one."""
        return self.desirable_weight, self.undesirable_weight

    def __call__(self, answers: UnpairedTerms) -> Tensor:
        """Return the loss of each answer, [N]."""
        apart = self.beta * (answers.gain - answers.divergence)
        good = self.desirable_weight * (1 - apart.sigmoid())
        bad = self.undesirable_weight * (1 - (-apart).sigmoid())
        return torch.where(answers.desirable, good, bad)


@UNPAIRED_LOSSES.register_module("apo_zero_unpaired")
@dataclass(frozen=True, slots=True, kw_only=True)
class ApoZeroUnpaired(UnpairedLoss):
    """APO-zero (D'Oosterlinck et al., 2024, arXiv 2408.06266) of single answers.

    1 - s(beta r) of a good one, s(beta r) of a bad one: KTO without z.

    Attributes:
        beta: strength of the reference.
    """

    def __call__(self, answers: UnpairedTerms) -> Tensor:
        """Return the loss of each answer, [N]."""
        likelier = (self.beta * answers.gain).sigmoid()
        return torch.where(answers.desirable, 1 - likelier, likelier)
