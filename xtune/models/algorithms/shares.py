"""Whether what an algorithm returned of a micro-batch can be added up and followed back."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from torch import Tensor

from xtune.errors import ModelError

__all__ = ["require_shares"]


def require_shares(name: str, outputs: Any, *, taken: Collection[str]) -> None:
    """Refuse what `forward` returned where it is not as `Algorithm.forward` says.

    Args:
        name: of the algorithm, for messages.
        outputs: what it returned.
        taken: names of metrics.jsonl that have another meaning.

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
    if not outputs["loss"].requires_grad:
        raise ModelError(
            f"the 'loss' that {name}.forward returns has no gradient: nothing would be trained. "
            "Look for .detach(), .item() or torch.no_grad()"
        )
