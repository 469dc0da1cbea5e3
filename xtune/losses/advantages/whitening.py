"""Numbers with mean 0 and standard deviation 1."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["whitened"]


def whitened(values: Tensor, *, keep_mean: bool = False) -> Tensor:
    """Return (values - mean) / sqrt(variance + 1e-8); the variance divides by n - 1.

    >>> whitened(torch.tensor([1., 2., 3.], dtype=torch.float64)).tolist()
    [-0.999999995, 0.0, 0.999999995]

    Args:
        values: [N], of all processes; one alone, or none, comes back as it is.
        keep_mean: only divide: of rewards the mean says something.
    """
    if len(values) < 2:
        return values
    mean = values.mean()
    spread = (values.var() + 1e-8).sqrt()
    return values / spread if keep_mean else (values - mean) / torch.clamp(spread, min=1e-30)
