"""How fast a device multiplies and copies, measured; the least time of a step at these rates."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

__all__ = ["Rates", "measure_rates", "seconds_at_least"]


@dataclass(frozen=True, slots=True)
class Rates:
    """What a device can do.

    Attributes:
        flops: of one large matrix product, a second.
        copy: bytes a second, read and written ones.
    """

    flops: float
    copy: float


def measure_rates(device: torch.device, dtype: torch.dtype) -> Rates:
    """Measure a square product and a copy, the best of five each; a fraction of a second.

    Args:
        device: where.
        dtype: of the product.
    """
    size, count = (8192, 2**28) if device.type == "cuda" else (1024, 2**24)
    left = torch.randn(size, size, device=device, dtype=dtype)
    source = torch.zeros(count // 4, device=device)
    target = torch.empty_like(source)
    product = _seconds(lambda: left @ left, device)
    copying = _seconds(lambda: target.copy_(source), device)
    return Rates(flops=2.0 * size**3 / product, copy=2.0 * count / copying)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    best = float("inf")
    for _ in range(6):  # the first chooses and loads a kernel
        _wait(device)
        start = time.perf_counter()
        work()
        _wait(device)
        best = min(best, time.perf_counter() - start)
    return best


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def seconds_at_least(rates: Rates, *, flops: float, moved: float) -> tuple[float, float]:
    """Return the seconds of a step's products alone, and of moving its weights and state alone.

    >>> seconds_at_least(Rates(flops=1e12, copy=1e11), flops=2e12, moved=5e10)
    (2.0, 0.5)

    Args:
        rates: of the device.
        flops: that the step cannot do without.
        moved: bytes of weights, gradients and optimizer state read and written.
    """
    return flops / rates.flops, moved / rates.copy
