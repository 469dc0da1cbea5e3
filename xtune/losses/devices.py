"""What computes with a tensor, and which steps of a loop over it, also without values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from torch import Tensor

__all__ = ["runs_on_cpu", "steps_to_run"]

T = TypeVar("T")


def runs_on_cpu(tensor: Tensor) -> bool:
    """Tell whether a CPU computes with a tensor.

    A fake tensor is on the CPU whatever it stands for; its mode says that in `stands_for`, where
    memory is estimated (`xtune.planning.tracing`).
    """
    mode = getattr(tensor, "fake_mode", None)
    return bool(getattr(mode, "stands_for", tensor.device.type) == "cpu")


def steps_to_run(steps: Sequence[T], tensor: Tensor) -> Sequence[T]:
    """Return the steps of a loop over parts of a tensor; of a draft's, the two at either end.

    Where memory is estimated (`xtune.planning.tracing`) nothing is computed, and steps that differ
    in their size alone have all been seen by then: the first, one that follows another, and, where
    they grow or the last is smaller, the same at the end.

    Args:
        steps: all of them, in order.
        tensor: what they are of.
    """
    is_draft = hasattr(getattr(tensor, "fake_mode", None), "stands_for")
    return [*steps[:2], *steps[-2:]] if is_draft and len(steps) > 4 else steps
