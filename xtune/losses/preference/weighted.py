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

    Args:
        losses: those that are added, each against the reference.
        weights: one for each, above 0.

    Raises:
        ConfigError: they are not as many, or one needs no reference.
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
        if not all(loss.needs_reference for loss in self.losses):
            raise ConfigError("losses with a reference and without one cannot be added up")

    def rewards(self, pairs: PairTerms) -> tuple[Tensor, Tensor]:
        """Return those of the first loss; see `PairLoss`."""
        return self.losses[0].rewards(pairs)

    def __call__(self, pairs: PairTerms) -> Tensor:
        """Return the loss of each pair, [P]."""
        values = [w * loss(pairs) for w, loss in zip(self.weights, self.losses, strict=True)]
        return sum(values[1:], values[0])
