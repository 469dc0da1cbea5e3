"""Losses that hold answers against a reference model: DPO and its kin.

    a = log p(chosen) - log p_ref(chosen)       b = the same of rejected       D = a - b

Shapes: P pairs. Formulas are those of the papers named; where trainers differ from them, or from
each other, the class says what is computed here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

from torch import Tensor
from torch.nn.functional import logsigmoid

from xtune.errors import ConfigError
from xtune.losses.preference.pair import PairLoss, PairTerms
from xtune.registry import PAIR_LOSSES

__all__ = [
    "ApoDown",
    "ApoZero",
    "BcoPair",
    "DiscoPop",
    "ExoPair",
    "Hinge",
    "Ipo",
    "NcaPair",
    "Robust",
    "Sigmoid",
    "SigmoidNorm",
    "SppoHard",
]

Divergence = Literal["reverse_kl", "forward_kl", "js", "alpha"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfBeta(PairLoss):
    """What has the strength of the reference as an option."""

    beta: float = 0.1

    def __post_init__(self) -> None:
        if not self.beta > 0:
            raise ConfigError(f"beta is {self.beta}; it must be above 0, and is 0.1 mostly")

    def rewards(self, pairs: PairTerms) -> tuple[Tensor, Tensor]:
        """Return beta a and beta b, DPO's implicit rewards; see `PairLoss`."""
        return self.beta * pairs.gain, self.beta * pairs.rejected_gain


@dataclass(frozen=True, slots=True, kw_only=True)
class _OfDifference(_OfBeta):
    """A loss of D alone, in which a divergence other than the reverse KL may stand.

    Attributes:
        divergence: f of f-DPO (Wang et al., 2023, arXiv 2309.16240): 'reverse_kl' is DPO's own;
            'forward_kl', 'js' (Jensen-Shannon), 'alpha'.
        alpha: of 'alpha', above 0 and not 1; no other divergence has it.
    """

    divergence: Divergence = "reverse_kl"
    alpha: float | None = None

    def __post_init__(self) -> None:
        _OfBeta.__post_init__(self)
        allowed = ("reverse_kl", "forward_kl", "js", "alpha")
        if self.divergence not in allowed:
            raise ConfigError(f"divergence is {self.divergence!r}; allowed: {', '.join(allowed)}")
        if (self.alpha is not None) != (self.divergence == "alpha"):
            raise ConfigError(
                f"divergence={self.divergence!r} with alpha={self.alpha}: the divergence 'alpha' "
                "has an alpha, and no other"
            )
        if self.alpha is not None and (self.alpha <= 0 or self.alpha == 1):
            raise ConfigError(
                f"alpha is {self.alpha}; it must be above 0 and not 1, where it is the reverse KL"
            )

    def difference(self, pairs: PairTerms) -> Tensor:
        """Return beta (f'(a) - f'(b)), [P]."""
        return self.beta * (self._slope(pairs.gain) - self._slope(pairs.rejected_gain))

    def _slope(self, gain: Tensor) -> Tensor:
        """The derivative of f at the ratio p / p_ref, up to a constant that cancels."""
        if self.divergence == "forward_kl":
            return 1 - (-gain).exp()
        if self.divergence == "js":
            return math.log(2) + logsigmoid(gain)
        if self.alpha is not None:
            return ((self.alpha - 1) * gain).expm1() / (self.alpha - 1)
        return gain


@PAIR_LOSSES.register_module("sigmoid")
@dataclass(frozen=True, slots=True, kw_only=True)
class Sigmoid(_OfDifference):
    """DPO (Rafailov et al., 2023, arXiv 2305.18290): -log sigmoid(beta D).

    Attributes:
        beta: strength of the reference.
        label_smoothing: e, the share of pairs that are believed to be swapped, below 0.5 (cDPO):
            -(1 - e) log sigmoid(beta D) - e log sigmoid(-beta D).
        divergence: see `_OfDifference`.
        alpha: see there.
    """

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        _OfDifference.__post_init__(self)
        _require_smoothing(self.label_smoothing)

    def __call__(self, pairs: PairTerms) -> Tensor:
        """Return the loss of each pair, [P]."""
        return _smoothed(self.difference(pairs), self.label_smoothing)


@PAIR_LOSSES.register_module("robust")
@dataclass(frozen=True, slots=True, kw_only=True)
class Robust(_OfDifference):
    """Robust DPO (Ray Chowdhury et al., 2024, arXiv 2403.00409), unbiased under swapped pairs.

        [-(1 - e) log sigmoid(beta D) + e log sigmoid(-beta D)] / (1 - 2 e)

    It may be negative.

    Attributes:
        beta: strength of the reference.
        label_smoothing: e, the share of swapped pairs, below 0.5.
        divergence: see `_OfDifference`.
        alpha: see there.
    """

    label_smoothing: float = 0.1

    def __post_init__(self) -> None:
        _OfDifference.__post_init__(self)
        _require_smoothing(self.label_smoothing)

    def __call__(self, pairs: PairTerms) -> Tensor:
        """Return the loss of each pair, [P]."""
        apart, e = self.difference(pairs), self.label_smoothing
        return (-(1 - e) * logsigmoid(apart) + e * logsigmoid(-apart)) / (1 - 2 * e)


@PAIR_LOSSES.register_module("hinge")
@dataclass(frozen=True, slots=True, kw_only=True)
class Hinge(_OfDifference):
    """SLiC's hinge (Zhao et al., 2023, arXiv 2305.10425): max(0, 1 - beta D).

    Attributes:
        beta: strength of the reference.
        divergence: see `_OfDifference`.
        alpha: see there.
    """

    def __call__(self, pairs: PairTerms) -> Tensor:
        """Return the loss of each pair, [P]."""
        return (1 - self.difference(pairs)).clamp(min=0)


@PAIR_LOSSES.register_module("ipo")
@dataclass(frozen=True, slots=True, kw_only=True)
class Ipo(_OfBeta):
    """IPO (Azar et al., 2023, arXiv 2310.12036, equation 17): (a/L_w - b/L_l - 1/(2 beta))^2.

    Log-probabilities are per token, each of its own answer's length, as the authors confirm.

    Attributes:
        beta: tau of the paper.
    """

    is_per_token: ClassVar[bool] = True

    def __call__(self, pairs: PairTerms) -> Tensor:
        """Return the loss of each pair, [P]."""
        apart = pairs.gain / pairs.chosen_length - pairs.rejected_gain / pairs.rejected_length
        return (apart - 1 / (2 * self.beta)) ** 2


@PAIR_LOSSES.register_module("sigmoid_norm")
@dataclass(frozen=True, slots=True, kw_only=True)
class SigmoidNorm(_OfBeta):
    """DPO per token (Tulu 3, 2024, arXiv 2411.15124): -log sigmoid(beta (a/L_w - b/L_l)).

    Attributes:
        beta: 5 to 10 there, as lengths divide.
        label_smoothing: as in `Sigmoid`.
    """

    is_per_token: ClassVar[bool] = True

    beta: float = 5.0
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        _OfBeta.__post_init__(self)
        _require_smoothing(self.label_smoothing)

    def __call__(self, pairs: PairTerms) -> Tensor:
        """Return the loss of each pair, [P]."""
        apart = pairs.gain / pairs.chosen_length - pairs.rejected_gain / pairs.rejected_length
        return _smoothed(self.beta * apart, self.label_smoothing)


@PAIR_LOSSES.register_module("sppo_hard")
@dataclass(frozen=True, slots=True, kw_only=True)
class SppoHard(_OfBeta):
    """SPPO with certain labels (Wu et al., 2024, arXiv 2405.00675).

        (a - 1/(2 beta))^2 + (b + 1/(2 beta))^2

    Attributes:
        beta: 1 / eta of the paper.
    """

    def __call__(self, pairs: PairTerms) -> Tensor:
        """Return the loss of each pair, [P]."""
        half = 1 / (2 * self.beta)
        return (pairs.gain - half) ** 2 + (pairs.rejected_gain + half) ** 2


@PAIR_LOSSES.register_module("nca_pair")
@dataclass(frozen=True, slots=True, kw_only=True)
class NcaPair(_OfBeta):
    """NCA of a pair (Chen et al., 2024, arXiv 2402.05369).

        -log s(beta a) - log s(-beta a) / 2 - log s(-beta b) / 2        s: the logistic function

    Attributes:
        beta: strength of the reference.
    """

    def __call__(self, pairs: PairTerms) -> Tensor:
        """Return the loss of each pair, [P]."""
        up, down = self.beta * pairs.gain, self.beta * pairs.rejected_gain
        return -logsigmoid(up) - 0.5 * logsigmoid(-up) - 0.5 * logsigmoid(-down)


@PAIR_LOSSES.register_module("bco_pair")
@dataclass(frozen=True, slots=True, kw_only=True)
class BcoPair(_OfBeta):
    """BCO of a pair (Jung et al., 2024, arXiv 2404.04656): -log s(beta a) - log s(-beta b).

    Without the paper's running mean of rewards, as trainers have it today.

    Attributes:
        beta: strength of the reference.
    """

    def __call__(self, pairs: PairTerms) -> Tensor:
        """Return the loss of each pair, [P]."""
        return -logsigmoid(self.beta * pairs.gain) - logsigmoid(-self.beta * pairs.rejected_gain)


@PAIR_LOSSES.register_module("apo_zero")
@dataclass(frozen=True, slots=True, kw_only=True)
class ApoZero(_OfBeta):
    """APO-zero (D'Oosterlinck et al., 2024, arXiv 2408.06266, equation 7).

    1 - s(beta a) + s(beta b): the better answer up, the worse one down.

    Attributes:
        beta: strength of the reference.
    """

    def __call__(self, pairs: PairTerms) -> Tensor:
        """Return the loss of each pair, [P]."""
        return 1 - (self.beta * pairs.gain).sigmoid() + (self.beta * pairs.rejected_gain).sigmoid()


@PAIR_LOSSES.register_module("apo_down")
@dataclass(frozen=True, slots=True, kw_only=True)
class ApoDown(_OfBeta):
    """APO-down (the same paper, equation 8), for a model that is better than its data.

    s(beta a) + 1 - s(beta D): both answers down, the worse one more.

    Attributes:
        beta: strength of the reference.
    """

    def __call__(self, pairs: PairTerms) -> Tensor:
        """Return the loss of each pair, [P]."""
        apart = self.beta * (pairs.gain - pairs.rejected_gain)
        return (self.beta * pairs.gain).sigmoid() + 1 - apart.sigmoid()


@PAIR_LOSSES.register_module("exo_pair")
@dataclass(frozen=True, slots=True, kw_only=True)
class ExoPair(_OfBeta):
    """EXO of a pair (Ji et al., 2024, arXiv 2402.00856), the reverse KL to smoothed labels.

        q (log q - log(1 - e)) + (1 - q) (log(1 - q) - log e)          q = s(beta D)

    Attributes:
        beta: strength of the reference.
        label_smoothing: e, above 0 and below 0.5.
    """

    label_smoothing: float = 1e-3

    def __post_init__(self) -> None:
        _OfBeta.__post_init__(self)
        _require_smoothing(self.label_smoothing)
        if self.label_smoothing == 0:
            raise ConfigError("label_smoothing is 0, of which exo_pair takes the logarithm: 0.001")

    def __call__(self, pairs: PairTerms) -> Tensor:
        """Return the loss of each pair, [P]."""
        apart, e = self.beta * (pairs.gain - pairs.rejected_gain), self.label_smoothing
        right = apart.sigmoid() * (logsigmoid(apart) - math.log1p(-e))
        return right + (-apart).sigmoid() * (logsigmoid(-apart) - math.log(e))


@PAIR_LOSSES.register_module("discopop")
@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoPop(_OfBeta):
    """DiscoPOP (Lu et al., 2024, arXiv 2406.08414), a logistic and an exponential loss mixed.

        -(1 - k) log s(u) + k exp(-u)        u = beta D, k = s(u / tau)

    Attributes:
        beta: strength of the reference.
        tau: temperature of the mixture.
    """

    tau: float = 0.05

    def __post_init__(self) -> None:
        _OfBeta.__post_init__(self)
        if not self.tau > 0:
            raise ConfigError(f"tau is {self.tau}; it must be above 0, and is 0.05 in the paper")

    def __call__(self, pairs: PairTerms) -> Tensor:
        """Return the loss of each pair, [P]."""
        apart = self.beta * (pairs.gain - pairs.rejected_gain)
        turned = apart / self.tau
        # k exp(-u) as one power: of a pair far on the wrong side it would be 0 times infinity
        return -(-turned).sigmoid() * logsigmoid(apart) + (logsigmoid(turned) - apart).exp()


def _smoothed(apart: Tensor, label_smoothing: float) -> Tensor:
    """-log s(apart), of which a share is believed to be swapped."""
    right = -logsigmoid(apart)
    if not label_smoothing:
        return right
    return (1 - label_smoothing) * right - label_smoothing * logsigmoid(-apart)


def _require_smoothing(label_smoothing: float) -> None:
    if not 0 <= label_smoothing < 0.5:
        raise ConfigError(
            f"label_smoothing is {label_smoothing}; it is the share of swapped pairs, from 0 to "
            "below 0.5, where labels say nothing"
        )
