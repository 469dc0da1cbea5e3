"""Cross-entropy of `hidden @ weight.T` that never holds a [tokens, vocabulary] tensor.

Shapes: N positions, D width, V vocabulary, C positions of one chunk.

The loss is one number, so that its gradient is known in the forward pass but for one factor: it is
made there, chunk by chunk (`xtune.losses.chunks`), and the backward pass only scales what was kept.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xtune.losses.chunks import Scoring, Wanted, pass_chunks, product_dtype
from xtune.structures import IGNORE_INDEX

__all__ = ["chunked_cross_entropy"]


def chunked_cross_entropy(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    *,
    bias: Tensor | None = None,
    softcap: float | None = None,
    chunk_size: int = 256,
    weights: Tensor | None = None,
) -> Tensor:
    """Sum the cross-entropy of a linear head over the positions that have a label.

    Equals `F.cross_entropy(head(hidden), labels, reduction='sum')`. Positions labelled -100 cost
    nothing. Products run in autocast's dtype where autocast is on, else in that of `hidden`; the
    softmax and every sum over chunks are fp32.

    Args:
        hidden: [N, D], the backbone's output.
        weight: [V, D], the head's weight; no gradient is computed for a frozen one.
        labels: int64 [N]; -100 where nothing is trained.
        bias: [V].
        softcap: c, if the model bounds its logits by `c * tanh(logits / c)`.
        chunk_size: C; the largest tensor held is [C, V], in the dtype of the products (on a GPU
            and with `softcap` also in fp32).
        weights: fp32 [N]; the factor of each position's loss; None: 1.

    Returns:
        fp32 scalar, connected to `hidden` also when no position has a label.
    """
    trained = labels != IGNORE_INDEX
    return _ChunkedCrossEntropy.apply(
        hidden[trained],
        weight,
        bias,
        labels[trained],
        softcap,
        chunk_size,
        None if weights is None else weights[trained],
        Wanted.of(hidden, weight, bias),
    )


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        labels: Tensor,
        softcap: float | None,
        chunk_size: int,
        weights: Tensor | None,
        wanted: Wanted,
    ) -> Tensor:
        ctx.dtypes = hidden.dtype, weight.dtype, None if bias is None else bias.dtype
        passed = pass_chunks(
            hidden,
            weight,
            labels,
            Scoring(bias, softcap),
            chunk_size=chunk_size,
            dtype=product_dtype(hidden),
            wanted=wanted,
            weights=weights,
        )
        ctx.save_for_backward(passed.hidden, passed.weight, passed.bias)
        return passed.total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_total: Tensor) -> tuple[Tensor | None, ...]:
        grads = [
            None if grad is None else (grad * grad_total).to(dtype)
            for grad, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return (*grads, None, None, None, None, None)
