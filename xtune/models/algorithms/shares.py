"""Whether what an algorithm says of a micro-batch can be added up: its shares, and its weight."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

from torch import Tensor

from xtune.errors import ModelError
from xtune.models.algorithms.base import Algorithm
from xtune.structures import Batch

__all__ = ["require_counted", "require_shares", "weight_of"]


def weight_of(model: Algorithm, batch: Batch) -> float:
    """Return what an algorithm counts a micro-batch as.

    Args:
        model: the algorithm.
        batch: whole, and no filler.

    Raises:
        ModelError: it is no number from 0 on.
    """
    given = model.weight(batch)
    try:
        weight = float(given)
    except (TypeError, ValueError):
        weight = math.nan
    if not (math.isfinite(weight) and weight >= 0):
        raise ModelError(
            f"{type(model).__name__}.weight returns {given!r} of a micro-batch; it is a number "
            "from 0 on: the trained tokens, pairs or answers that `forward` divides by"
        )
    return weight


def require_counted(name: str, *, loss: float, normalizer: float) -> None:
    """Refuse a loss of micro-batches that count nothing: nobody knows what to divide it by.

    Args:
        name: of the algorithm, for messages.
        loss: summed over the micro-batches.
        normalizer: the sum of their weights.

    Raises:
        ModelError: the loss is not 0, and the normalizer is.
    """
    if normalizer == 0 and abs(loss) > 0:
        raise ModelError(
            f"{name}.weight returns 0 of every micro-batch of the step, and {name}.forward a loss "
            f"of {loss:.4g}. `weight` returns what the step is divided by, such as the pairs in "
            "the batch; a batch that counts nothing has a loss of 0"
        )


def require_shares(
    name: str, outputs: Any, *, taken: Collection[str] = (), differentiable: bool = True
) -> None:
    """Refuse what `forward` returned where it is not as `Algorithm.forward` says.

    Args:
        name: of the algorithm, for messages.
        outputs: what it returned.
        taken: names of metrics.jsonl that have another meaning.
        differentiable: whether the loss must have a gradient; without gradients none has.

    Raises:
        ModelError: it is such.
    """
    if not isinstance(outputs, dict) or "loss" not in outputs:
        got = f"a dict of {', '.join(outputs)}" if isinstance(outputs, dict) else repr(outputs)
        raise ModelError(f"{name}.forward returns {got}; it is a dict with the tensor 'loss' in it")
    for key, value in outputs.items():
        if not isinstance(value, Tensor) or value.ndim:
            shape = f"a tensor {list(value.shape)}" if isinstance(value, Tensor) else repr(value)
            raise ModelError(
                f"{name}.forward returns {shape} as {key!r}; it is a tensor without dimensions, "
                "a share of a sum"
            )
    if both := sorted(set(outputs) & set(taken)):
        raise ModelError(
            f"{name}.forward returns {both[0]!r}, which means something else in metrics.jsonl: "
            "call it otherwise"
        )
    if differentiable and not outputs["loss"].requires_grad:
        raise ModelError(
            f"the 'loss' that {name}.forward returns has no gradient: nothing would be trained. "
            "Look for .detach(), .item() or torch.no_grad()"
        )
