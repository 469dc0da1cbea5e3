"""How far a policy is from its reference, of tokens that it has sampled.

With k = log p - log p_ref of a sampled token (J. Schulman, 2020, "Approximating KL divergence"):

    k1   k                   no bias; may be negative
    k2   k^2 / 2             a little bias, little variance
    k3   e^-k - 1 + k        no bias, little variance, never negative

In a reward the right one is k1: the gradient of its expectation is that of KL(p, p_ref). In a loss
it is k3 times the ratio p / p_old, whose gradient is that as well: d k3 / d log p = 1 - e^-k, and
k3 times d ratio / d log p, which is k3 where the ratio is 1, adds up with it to k.

Shapes: T positions.
"""

from __future__ import annotations

from torch import Tensor

from xtune.losses.policy.loss import bounded_exp

__all__ = ["k1", "k2", "k3"]


def k1(log_prob: Tensor, reference: Tensor) -> Tensor:
    """Return log p - log p_ref of each token, [T].

    Args:
        log_prob: [T], of the policy.
        reference: [T].
    """
    return log_prob - reference


def k2(log_prob: Tensor, reference: Tensor) -> Tensor:
    """Return half the square of `k1`, [T].

    Args: as for `k1`.
    """
    return (log_prob - reference).square() / 2


def k3(log_prob: Tensor, reference: Tensor) -> Tensor:
    """Return e^-k - 1 + k of each token, [T], 0 or more; never infinite.

    Args: as for `k1`.
    """
    difference = log_prob - reference
    return bounded_exp(-difference) - 1 + difference
