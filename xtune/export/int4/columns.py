"""A matrix changed column by column, the rest making up for it (Hassibi & Stork 1993).

    H     2 X^T X of a layer's inputs, damped
    W     columns from left to right: each becomes what a rule says, and its error, as H says, is
          taken off those that are still to come

What the rule is, rounding (gptq.py) or pruning (sparse.py), is no matter here.

Shapes: O outputs, I inputs, B columns of a block.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

__all__ = ["Rule", "changed_by"]

_DAMPING = 0.01  # of the mean of H's diagonal


class Rule(Protocol):
    """What becomes of columns.

    Attributes:
        block: columns that are looked at together, B.
    """

    block: int

    def enter(self, columns: Tensor, importance: Tensor, spread: Tensor) -> None:
        """Look at the columns of a block, those before them done.

        Args:
            columns: [O, B].
            importance: [B] the diagonal of H.
            spread: [B] how far an error goes: the loss of a change d is (d / spread)^2 / 2.
        """
        ...

    def become(self, columns: Tensor, at: int) -> Tensor:
        """Return what the next column becomes, [O].

        Args:
            columns: [O, B - at] from this one to the block's last, as they are by now.
            at: its place in the block.
        """
        ...


@torch.no_grad()
def changed_by(rule: Rule, weight: Tensor, hessian: Tensor) -> Tensor:
    """Return a matrix whose outputs change least, fp32 [O, I].

    Args:
        rule: called for each block and column in order.
        weight: [O, I].
        hessian: [I, I], fp32 or more; changed.
    """
    left = weight.to(hessian.dtype).clone()
    unused = hessian.diagonal() == 0
    hessian[unused, unused] = 1
    hessian.diagonal().add_(_DAMPING * hessian.diagonal().mean())
    lower = torch.linalg.cholesky(hessian)
    inverse = torch.linalg.cholesky(torch.cholesky_inverse(lower), upper=True)
    importance, spread = hessian.diagonal(), inverse.diagonal()
    for begin in range(0, left.shape[1], rule.block):
        end = min(begin + rule.block, left.shape[1])
        rule.enter(left[:, begin:end], importance[begin:end], spread[begin:end])
        errors = torch.empty(left.shape[0], end - begin, dtype=left.dtype)
        for at in range(begin, end):
            new = rule.become(left[:, at:end], at - begin)
            error = (left[:, at] - new) / inverse[at, at]
            left[:, at:end] -= error[:, None] * inverse[at, at:end]
            left[:, at] = new
            errors[:, at - begin] = error
        left[:, end:] -= errors @ inverse[begin:end, end:]
    return left
