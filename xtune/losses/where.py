"""Which kind of processor computes with a tensor, also with one that has no values."""

from __future__ import annotations

from torch import Tensor

__all__ = ["runs_on_cpu"]


def runs_on_cpu(tensor: Tensor) -> bool:
    """Tell whether a CPU computes with a tensor.

    A fake tensor is on the CPU whatever it stands for; its mode says that in `stands_for`, where
    memory is estimated (`xtune.models.tracing`).
    """
    mode = getattr(tensor, "fake_mode", None)
    return bool(getattr(mode, "stands_for", tensor.device.type) == "cpu")
