"""pass@k: the chance that one of k programs is right, estimated without bias from n of them."""

from __future__ import annotations

from math import comb

from xtune.errors import UsageError

__all__ = ["pass_at_k", "require_samples"]


def pass_at_k(samples: int, right: int, k: int) -> float:
    """Return 1 - C(n-c, k) / C(n, k): the share of k-subsets with a right one (Chen et al. 2021).

    Args:
        samples: n, how many programs were written.
        right: c, how many of them pass.
        k: how many one may try.

    Raises:
        UsageError: n is below k.
        ValueError: c is not between 0 and n.

    >>> pass_at_k(5, 2, 2)
    0.7
    """
    require_samples(samples, k)
    if not 0 <= right <= samples:
        raise ValueError(f"{right} right ones of {samples}")
    # whole numbers: exact for any n
    return (comb(samples, k) - comb(samples - right, k)) / comb(samples, k)


def require_samples(samples: int, k: int) -> None:
    """Refuse to estimate pass@k from fewer samples than k.

    Args:
        samples: how many programs are written for a problem.
        k: of pass@k, 1 or more.

    Raises:
        UsageError: says how many are needed.
    """
    if k < 1 or samples < k:
        raise UsageError(
            f"pass@{k} needs at least {max(k, 1)} samples a problem, and there are {samples}: "
            f"samples={max(k, 1)} or more, or a smaller k"
        )
