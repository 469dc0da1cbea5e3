"""Losses of pairs without a reference model: CPO, SimPO, ORPO.

Shapes: P pairs. The likelihood that CPO and ORPO add is no loss of a pair but a mean over a step's
tokens; the algorithm adds it, with the weight that the class says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from xtune.errors import ConfigError
from xtune.losses.preference.pair import PairLoss, PairTerms
from xtune.registry import PAIR_LOSSES

__all__ = ["Cpo", "Orpo", "SimPO"]

_CERTAIN = -1e-6  # nats: an answer that is certain has no odds


@PAIR_LOSSES.register_module("cpo")
@dataclass(frozen=True, slots=True, kw_only=True)
class Cpo(PairLoss):
    """CPO (Xu et al., 2024, arXiv 2401.08417): -log sigmoid(beta (log p_w - log p_l)).

    The paper's alpha, of the better answer's likelihood, is the algorithm's `sft_weight`.

    Attributes:
        beta: of the sums' difference.
        label_smoothing: e, the share of pairs that are believed to be swapped, below 0.5.
    """

    needs_reference: ClassVar[bool] = False
    sft_weight: ClassVar[float] = 1.0

    beta: float = 0.1
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        _require_beta(self.beta)
        if not 0 <= self.label_smoothing < 0.5:
            raise ConfigError(
                f"label_smoothing is {self.label_smoothing}; it is from 0 to below 0.5"
            )

    def rewards(self, pairs: PairTerms) -> tuple[Tensor, Tensor]:
        """Return beta times the answers' log-probabilities; see `PairLoss`."""
        return self.beta * pairs.chosen, self.beta * pairs.rejected

    def __call__(self, pairs: PairTerms) -> Tensor:
        """Return the loss of each pair, [P]."""
        apart, e = self.beta * (pairs.chosen - pairs.rejected), self.label_smoothing
        return -(1 - e) * logsigmoid(apart) - e * logsigmoid(-apart)


@PAIR_LOSSES.register_module("simpo")
@dataclass(frozen=True, slots=True, kw_only=True)
class SimPO(PairLoss):
    """SimPO (Meng et al., 2024, arXiv 2405.14734): -log sigmoid(beta (p_w - p_l) - gamma).

    p is the log-probability of a token, on average over the answer; in AlphaPO (Gupta et al., 2025,
    arXiv 2501.03884) it is (1 - exp(-alpha p)) / alpha instead.

    Attributes:
        beta: 2 to 2.5 in the paper.
        gamma: the margin; the paper tunes gamma / beta, from 0.3 to 0.6.
        alpha: of AlphaPO, which it tunes around 0.25; 0: SimPO.
    """

    needs_reference: ClassVar[bool] = False
    is_per_token: ClassVar[bool] = True

    beta: float = 2.0
    gamma: float = 1.0
    alpha: float = 0.0

    def __post_init__(self) -> None:
        _require_beta(self.beta)
        if self.gamma < 0:
            raise ConfigError(f"gamma is {self.gamma}; it is a margin, 0 or more")

    def rewards(self, pairs: PairTerms) -> tuple[Tensor, Tensor]:
        """Return beta times what an answer's token is worth on average; see `PairLoss`."""
        return self._worth(pairs.chosen_mean), self._worth(pairs.rejected_mean)

    def __call__(self, pairs: PairTerms) -> Tensor:
        """Return the loss of each pair, [P]."""
        chosen, rejected = self.rewards(pairs)
        return -logsigmoid(chosen - rejected - self.gamma)

    def _worth(self, mean: Tensor) -> Tensor:
        if not self.alpha:
            return self.beta * mean
        return self.beta * -(-self.alpha * mean).expm1() / self.alpha


@PAIR_LOSSES.register_module("orpo")
@dataclass(frozen=True, slots=True, kw_only=True)
class Orpo(PairLoss):
    """ORPO's odds ratio (Hong et al., 2024, arXiv 2403.07691): -beta log sigmoid(o).

        o = log odds(p_w) - log odds(p_l)      odds(p) = p / (1 - p), p per token

    The likelihood next to it is that of the better answer with its prompt, as in the code of the
    paper's authors and in TRL; `nll_on='answer'` of the algorithm leaves the prompt out.

    Attributes:
        beta: lambda of the paper, its weight next to that likelihood.
    """

    needs_reference: ClassVar[bool] = False
    is_per_token: ClassVar[bool] = True
    sft_weight: ClassVar[float] = 1.0
    nll_on: ClassVar[Literal["answer", "all"]] = "all"

    beta: float = 0.1

    def __post_init__(self) -> None:
        _require_beta(self.beta)

    def rewards(self, pairs: PairTerms) -> tuple[Tensor, Tensor]:
        """Return beta times the answers' log-probabilities per token; see `PairLoss`."""
        return self.beta * pairs.chosen_mean, self.beta * pairs.rejected_mean

    def __call__(self, pairs: PairTerms) -> Tensor:
        """Return the loss of each pair, [P]."""
        odds = _log_odds(pairs.chosen_mean) - _log_odds(pairs.rejected_mean)
        return -self.beta * logsigmoid(odds)


def _log_odds(log_p: Tensor) -> Tensor:
    """log(p / (1 - p)) of log p, without cancellation at either end."""
    log_p = log_p.clamp(max=_CERTAIN)
    rare = log_p < -math.log(2)
    # each branch is given only what it is exact for, so that no gradient is NaN
    one_less = torch.where(
        rare,
        torch.log1p(-torch.where(rare, log_p, -1.0).exp()),
        torch.log(-torch.expm1(torch.where(rare, -0.1, log_p))),
    )
    return log_p - one_less


def _require_beta(beta: float) -> None:
    if not beta > 0:
        raise ConfigError(f"beta is {beta}; it must be above 0")
