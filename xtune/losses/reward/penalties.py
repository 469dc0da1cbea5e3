"""What keeps the scores of pairs near 0, where they have no other reason to be: added to a loss.

Shapes: P pairs.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["centre", "l2", "log_barrier"]

_LIMIT = 5.0
_EDGE = 4.99  # from here on the barrier goes on straight: it is finite, and still leads back


def centre(better: Tensor, worse: Tensor) -> Tensor:
    """Return (r_w + r_l)^2 (Eisenstein et al., 2023, arXiv 2312.09244, equation 2): [P].

    Args:
        better: [P], scores of the better answers.
        worse: [P], of the worse ones.
    """
    return (better + worse) ** 2


def l2(better: Tensor, worse: Tensor) -> Tensor:
    """Return (r_w^2 + r_l^2) / 2, as Open-Assistant has it: [P].

    Args:
        better: [P], scores of the better answers.
        worse: [P], of the worse ones.
    """
    return (better**2 + worse**2) / 2


def log_barrier(better: Tensor, worse: Tensor) -> Tensor:
    """Return the mean of -log(r + 5) - log(5 - r) over a pair (InternLM2, arXiv 2403.17297): [P].

    It is infinite at 5 and beyond; here it goes on as a straight line from 4.99.

    Args:
        better: [P], scores of the better answers.
        worse: [P], of the worse ones.
    """
    return (_barrier(better) + _barrier(worse)) / 2


def _barrier(scores: Tensor) -> Tensor:
    inside = scores.clamp(-_EDGE, _EDGE)
    slope = 1 / (_LIMIT - _EDGE) - 1 / (_LIMIT + _EDGE)
    beyond = (scores.abs() - _EDGE).clamp(min=0)
    return -torch.log(inside + _LIMIT) - torch.log(_LIMIT - inside) + slope * beyond
