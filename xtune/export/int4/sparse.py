"""One matrix with zeros: SparseGPT (Frantar & Alistarh 2023), and by size, which it has to beat.

    0.5    half of each block of 128 columns, wherever in it they are missed least
    2:4    two of each four neighbours of a row, which sparse kernels want

A weight w is missed by w^2 / (2 spread^2): what the outputs lose after the columns still to come
have made up for it; see columns.py.

Shapes: O outputs, I inputs, B columns of a block.
"""

from __future__ import annotations

import torch
from torch import Tensor

from xtune.errors import UsageError
from xtune.export.int4.columns import changed_by

__all__ = ["TWO_OF_FOUR", "by_size", "parse_sparsity", "sparse_gpt"]

TWO_OF_FOUR = "2:4"
_BLOCK = 128

Sparsity = float | str


class _ToZero:
    """The rule: what is missed least becomes zero."""

    def __init__(self, sparsity: Sparsity) -> None:
        self.block = _BLOCK
        self._sparsity = sparsity
        self._zero = self._spread = torch.empty(0)
        self._seen = self._gone = 0

    def enter(self, columns: Tensor, importance: Tensor, spread: Tensor) -> None:
        self._spread = spread
        if self._sparsity == TWO_OF_FOUR:
            self._zero = torch.zeros_like(columns, dtype=torch.bool)
        else:
            self._seen += columns.numel()  # so that the matrix has the share, not each block
            count = round(self._seen * float(self._sparsity)) - self._gone
            self._zero = _least(columns / spread, count)
            self._gone += count

    def become(self, columns: Tensor, at: int) -> Tensor:
        if self._sparsity == TWO_OF_FOUR and at % 4 == 0:
            four = columns[:, :4] / self._spread[at : at + 4]
            self._zero[:, at : at + 4] = _two_of_four(four)
        return columns[:, 0].masked_fill(self._zero[:, at], 0)


def parse_sparsity(text: str) -> Sparsity:
    """Read what `--sparsity` says.

    >>> parse_sparsity("0.5"), parse_sparsity("2:4")
    (0.5, '2:4')

    Args:
        text: a share of zeros, or '2:4'.

    Raises:
        UsageError: it is neither.
    """
    if text == TWO_OF_FOUR:
        return text
    try:
        share = float(text)
    except ValueError:
        share = 0.0
    if not 0 < share < 1:
        raise UsageError(
            f"--sparsity {text}: give the share of weights that become zero, above 0 and below 1, "
            "as 0.5, or 2:4 for two of each four neighbours"
        )
    return share


def sparse_gpt(weight: Tensor, hessian: Tensor, sparsity: Sparsity) -> Tensor:
    """Return a matrix with zeros whose outputs change least, in the dtype of `weight`.

    Args:
        weight: [O, I]; for 2:4 I is a multiple of 4.
        hessian: [I, I], fp32; changed.
        sparsity: a share, or '2:4'.
    """
    return changed_by(_ToZero(sparsity), weight, hessian).to(weight.dtype)


def by_size(weight: Tensor, sparsity: Sparsity) -> Tensor:
    """Return a matrix whose smallest weights are zero, and the others as they were.

    Args:
        weight: [O, I].
        sparsity: a share, or '2:4'.
    """
    if sparsity == TWO_OF_FOUR:
        fours = weight.reshape(-1, 4)
        return fours.masked_fill(_two_of_four(fours), 0).reshape(weight.shape)
    return weight.masked_fill(_least(weight, round(weight.numel() * float(sparsity))), 0)


def _least(values: Tensor, count: int) -> Tensor:
    """Which so many are the smallest by size."""
    places = values.abs().flatten().argsort()[:count]
    found = torch.zeros(values.numel(), dtype=torch.bool, device=values.device)
    found[places] = True
    return found.reshape(values.shape)


def _two_of_four(four: Tensor) -> Tensor:
    """Which two of each row are the smaller ones: bool [N, 4]."""
    places = four.abs().argsort(dim=1)[:, :2]
    return torch.zeros_like(four, dtype=torch.bool).scatter_(1, places, True)
