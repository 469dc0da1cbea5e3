"""A weighted sum of losses of pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from torch import Tensor

from xtune.errors import ConfigError
from xtune.losses.preference.pair import PairLoss, PairTerms
from xtune.registry import PAIR_LOSSES, build

__all__ = ["Weighted"]


@PAIR_LOSSES.register_module("weighted")
class Weighted(PairLoss):
    """A weighted sum of losses, as MPO's (Wang et al., 2024, arXiv 2411.10442).

        loss=dict(type='weighted', losses=[dict(type='sigmoid'), dict(type='bco_pair')],
                  weights=[0.8, 0.2])

    The third term of MPO, the better answer's likelihood, is `sft_weight` of the algorithm.

    Args:
        losses: those that are added: all against the reference, or all without one.
        weights: one for each, above 0.

    Raises:
        ConfigError: they are not as many, or some need a reference and others have no use for it.
    """

    def __init__(
        self,
        *,
        losses: Annotated[Sequence[Mapping[str, Any]], PAIR_LOSSES],
        weights: Sequence[float],
    ) -> None:
        if len(losses) != len(weights) or not losses:
            raise ConfigError(f"{len(losses)} losses and {len(weights)} weights: give each its own")
        if not all(weight > 0 for weight in weights):
            raise ConfigError(f"weights are {list(weights)}; each must be above 0")
        self.losses: list[PairLoss] = [build(PAIR_LOSSES, loss) for loss in losses]
        self.weights = tuple(weights)
        if len({loss.needs_reference for loss in self.losses}) > 1:
            raise ConfigError("losses with a reference and without one cannot be added up")
        # The sum says of itself what the classes of its parts do
        parts = list(zip(self.weights, self.losses, strict=True))
        for name, value in (
            ("needs_reference", self.losses[0].needs_reference),
            ("is_per_token", any(loss.is_per_token for loss in self.losses)),
            ("sft_weight", sum(weight * loss.sft_weight for weight, loss in parts)),
            ("nll_on", next((one.nll_on for one in self.losses if one.sft_weight), self.nll_on)),
        ):
            setattr(self, name, value)

    def rewards(self, pairs: PairTerms) -> tuple[Tensor, Tensor]:
        """Return those of the first loss; see `PairLoss`."""
        return self.losses[0].rewards(pairs)

    def __call__(self, pairs: PairTerms) -> Tensor:
        """Return the loss of each pair, [P]."""
        values = [w * loss(pairs) for w, loss in zip(self.weights, self.losses, strict=True)]
        return sum(values[1:], values[0])
