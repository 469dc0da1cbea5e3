"""The loss of a critic: how far what it expects is from what came.

    (max((V - G)^2, (clip(V, V_old - c, V_old + c) - G)^2)) / 2

as in PPO's own code (Schulman et al., 2017): what has moved further than c from what the critic
said of the sampled answer has no gradient where that would make the loss smaller. Shapes: T
positions.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["value_losses"]


def value_losses(
    values: Tensor, old: Tensor, returns: Tensor, *, clip: float | None
) -> tuple[Tensor, Tensor]:
    """Return the loss of each token, fp32 [T], and where the clip decides it, bool [T].

    Args:
        values: fp32 [T], of the critic now.
        old: fp32 [T], when the answers were sampled.
        returns: fp32 [T].
        clip: c, in units of the return; None: none.
    """
    plain = (values - returns).square()
    if clip is None:
        return plain / 2, torch.zeros_like(plain, dtype=torch.bool)
    near = torch.minimum(torch.maximum(values, old - clip), old + clip)
    clipped = (near - returns).square()
    return torch.maximum(plain, clipped) / 2, clipped > plain
