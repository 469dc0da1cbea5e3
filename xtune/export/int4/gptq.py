"""One matrix in 4 bits: GPTQ (Frantar et al. 2022), with scales that are searched (as AWQ does).

    H     2 X^T X of a layer's inputs, damped
    W     columns from left to right: each is rounded, and its error, as H says, is taken off those
          that are still to come

Scales are symmetric, one for each group of columns of a row: the one of twelve that loses least,
each column's loss weighted by the diagonal of H.

Shapes: O outputs, I inputs, G groups of a row.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Rounded", "gptq", "nearest"]

_LEAST, _MOST = -8, 7
_DAMPING = 0.01  # of the mean of H's diagonal
_SHARES = [1.0 - 0.04 * step for step in range(12)]  # of the largest number of a group


class Rounded:
    """A matrix of small whole numbers and their scales.

    Attributes:
        codes: int8 [O, I], -8 to 7.
        scales: [O, G].
    """

    def __init__(self, codes: Tensor, scales: Tensor) -> None:
        self.codes = codes
        self.scales = scales

    @property
    def weight(self) -> Tensor:
        """What they stand for, [O, I], as readers compute it."""
        group = self.codes.shape[1] // self.scales.shape[1]
        return self.codes.to(self.scales.dtype) * self.scales.repeat_interleave(group, dim=1)


def nearest(weight: Tensor, group: int) -> Rounded:
    """Round each number to the nearest: what calibrating has to beat.

    Args:
        weight: [O, I].
        group: columns that share a scale.
    """
    parts = weight.float().reshape(weight.shape[0], -1, group)
    scales = (parts.abs().amax(-1) / 7.5).clamp(min=1e-8).to(weight.dtype)
    codes = (parts / scales.float()[..., None]).round().clamp(_LEAST, _MOST)
    return Rounded(codes.reshape(weight.shape).to(torch.int8), scales)


@torch.no_grad()
def gptq(weight: Tensor, hessian: Tensor, group: int) -> Rounded:
    """Round a matrix so that its outputs change least.

    Args:
        weight: [O, I].
        hessian: [I, I], fp32; changed.
        group: columns that share a scale.
    """
    left = weight.float().clone()
    unused = hessian.diagonal() == 0
    hessian[unused, unused] = 1
    hessian.diagonal().add_(_DAMPING * hessian.diagonal().mean())
    lower = torch.linalg.cholesky(hessian)
    inverse = torch.linalg.cholesky(torch.cholesky_inverse(lower), upper=True)
    importance = hessian.diagonal()
    codes = torch.empty_like(left, dtype=torch.int8)
    scales = []
    for begin in range(0, left.shape[1], group):
        end = begin + group
        scale = _scale(left[:, begin:end], importance[begin:end]).to(weight.dtype)
        scales.append(scale)
        errors = torch.empty(left.shape[0], group)
        for at in range(begin, end):
            code = (left[:, at] / scale.float()).round().clamp(_LEAST, _MOST)
            codes[:, at] = code.to(torch.int8)
            error = (left[:, at] - code * scale.float()) / inverse[at, at]
            left[:, at:end] -= error[:, None] * inverse[at, at:end]
            errors[:, at - begin] = error
        left[:, end:] -= errors @ inverse[begin:end, end:]
    return Rounded(codes, torch.stack(scales, dim=1))


def _scale(columns: Tensor, importance: Tensor) -> Tensor:
    """The scale of each row [O] that loses least in these columns."""
    largest = columns.abs().amax(1).clamp(min=1e-8)
    best = torch.full_like(largest, torch.inf)
    chosen = largest / 7.5
    for share in _SHARES:
        scale = largest * share / 7.5
        rounded = (columns / scale[:, None]).round().clamp(_LEAST, _MOST) * scale[:, None]
        loss = ((columns - rounded) ** 2 * importance).sum(1)
        chosen = torch.where(loss < best, scale, chosen)
        best = torch.minimum(loss, best)
    return chosen
