"""One matrix in 4 bits: GPTQ (Frantar et al. 2022), with scales that are searched (as AWQ does).

Scales are symmetric, one for each group of columns of a row: the one of twelve that loses least,
each column's loss weighted by the diagonal of H; see columns.py.

Shapes: O outputs, I inputs, G groups of a row.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xtune.export.int4.columns import changed_by

__all__ = ["Rounded", "gptq", "nearest"]

_LEAST, _MOST = -8, 7
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


class _ToCodes:
    """The rule: the nearest multiple of the group's scale."""

    def __init__(self, group: int, dtype: torch.dtype) -> None:
        self.block = group
        self.codes: list[Tensor] = []
        self.scales: list[Tensor] = []
        self._dtype = dtype

    def enter(self, columns: Tensor, importance: Tensor, spread: Tensor) -> None:
        self.scales.append(_scale(columns, importance).to(self._dtype))

    def become(self, columns: Tensor, at: int) -> Tensor:
        scale = self.scales[-1].float()
        code = (columns[:, 0] / scale).round().clamp(_LEAST, _MOST)
        self.codes.append(code.to(torch.int8))
        return code * scale


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


def gptq(weight: Tensor, hessian: Tensor, group: int) -> Rounded:
    """Round a matrix so that its outputs change least.

    Args:
        weight: [O, I].
        hessian: [I, I], fp32; changed.
        group: columns that share a scale.
    """
    rule = _ToCodes(group, weight.dtype)
    changed_by(rule, weight, hessian)
    return Rounded(torch.stack(rule.codes, dim=1), torch.stack(rule.scales, dim=1))


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
