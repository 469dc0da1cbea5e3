"""`PairTerms`: what is known of pairs of answers, and `PairLoss`: what a loss makes of it.

Shapes: P pairs.

The log-probability of an answer is the sum over its tokens, its end token included, and no token
of the prompt. A loss gives one number for each pair; whoever trains takes the mean over **all**
pairs of an optimizer step, so that no split into micro-batches or processes changes a gradient.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

__all__ = ["PairLoss", "PairTerms", "expected_loss", "loss_at_start"]


@dataclass(frozen=True, slots=True)
class PairTerms:
    """Sums and lengths of P pairs.

    Attributes:
        chosen: fp32 [P], log-probability of the better answer, in nats.
        rejected: fp32 [P], of the worse one.
        chosen_length: [P], tokens of the better answer.
        rejected_length: [P], of the worse one.
        ref_chosen: fp32 [P], of the better answer under the reference; None without one.
        ref_rejected: fp32 [P], of the worse one.
        soft_label: fp32 [P], how probable it is that the better answer is the better one; None
            where that is certain of all.
    """

    chosen: Tensor
    rejected: Tensor
    chosen_length: Tensor
    rejected_length: Tensor
    ref_chosen: Tensor | None = None
    ref_rejected: Tensor | None = None
    soft_label: Tensor | None = None

    @property
    def gain(self) -> Tensor:
        """How much likelier the better answer is than to the reference, in nats, [P]."""
        assert self.ref_chosen is not None
        return self.chosen - self.ref_chosen

    @property
    def rejected_gain(self) -> Tensor:
        """The same of the worse answer, [P]."""
        assert self.ref_rejected is not None
        return self.rejected - self.ref_rejected

    @property
    def chosen_mean(self) -> Tensor:
        """Log-probability of a token of the better answer, on average, [P]."""
        return self.chosen / self.chosen_length

    @property
    def rejected_mean(self) -> Tensor:
        """The same of the worse answer, [P]."""
        return self.rejected / self.rejected_length

    @property
    def swapped(self) -> PairTerms:
        """The same pairs, the worse answers taken as the better ones."""
        return PairTerms(
            self.rejected,
            self.chosen,
            self.rejected_length,
            self.chosen_length,
            self.ref_rejected,
            self.ref_chosen,
        )


class PairLoss(ABC):
    """A loss of pairs, made from its options; registered in PAIR_LOSSES by its name.

    Attributes:
        needs_reference: it holds answers against a reference model.
        is_per_token: it divides log-probabilities by the answers' lengths itself.
        sft_weight: of the better answer's likelihood, which the method of this name adds.
        nll_on: of which tokens that is.
    """

    needs_reference: ClassVar[bool] = True
    is_per_token: ClassVar[bool] = False
    sft_weight: ClassVar[float] = 0.0
    nll_on: ClassVar[Literal["answer", "all"]] = "answer"

    @abstractmethod
    def rewards(self, pairs: PairTerms) -> tuple[Tensor, Tensor]:
        """Return what the better and the worse answers are worth to the policy, [P] each.

        Args:
            pairs: as for the loss.
        """

    @abstractmethod
    def __call__(self, pairs: PairTerms) -> Tensor:
        """Return the loss of each pair, [P], in the dtype of the sums.

        Args:
            pairs: with the reference's sums if the loss needs them.
        """


def expected_loss(loss: PairLoss, pairs: PairTerms) -> Tensor:
    """Return the loss of each pair, [P], as its label is believed.

        p loss(better, worse) + (1 - p) loss(worse, better)          p: the soft label

    Of `sigmoid` it is cDPO with 1 - p as its smoothing; of `ipo` and `sppo_hard` it has the
    gradient of these methods with a probability in place of a label.

    Args:
        loss: made from its options.
        pairs: with the reference's sums if the loss needs them.
    """
    if pairs.soft_label is None:
        return loss(pairs)
    p = pairs.soft_label
    return p * loss(replace(pairs, soft_label=None)) + (1 - p) * loss(pairs.swapped)


def loss_at_start(loss: PairLoss) -> float | None:
    """Return what a loss is while the policy is still its reference; None without a reference.

    A first step that is anything else trains against the wrong reference, or on other tokens.

    Args:
        loss: made from its options.
    """
    if not loss.needs_reference:
        return None
    sums, lengths = torch.tensor([-9.0]), torch.tensor([7])
    return float(loss(PairTerms(sums, sums, lengths, lengths, sums, sums)))
