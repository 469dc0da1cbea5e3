"""Cross-entropy of `hidden @ weight.T` that never holds a [tokens, vocabulary] tensor.

Shapes: N positions, D width, V vocabulary, C positions of one chunk, R of one block in cache.

The gradient of cross-entropy by the logits is `softmax - onehot`: it needs nothing that the
forward pass does not have at hand. So each chunk's logits are made, turned into their own gradient
in place, multiplied back to the width D, and dropped; the backward pass only scales what was kept:

    chunk of hidden [C, D] --@ weight.T--> logits [C, V] --softmax - onehot--> [C, V]
                                                            --@ weight--> grad of hidden [C, D]

The products want many rows at once, the softmax few: on a CPU it goes through a chunk some rows at
a time, R, so that their fp32 numbers stay in the processor's cache from the first to the last of
its steps (2 to 3 times as fast at V = 49,152, measured), and each row's gradient is written over
its logits. No fp32 copy of a chunk exists.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from xtune.losses.where import runs_on_cpu, steps_to_run
from xtune.structures import IGNORE_INDEX

__all__ = ["chunked_cross_entropy"]

_SIMILAR = 32  # rows of a product on a CPU are a multiple of this: few shapes, see row_length.py
_CACHED = 2**19  # fp32 numbers that a core keeps at hand: 2 MB, a server core's second-level cache


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
        labels[trained],
        bias,
        softcap,
        chunk_size,
        None if weights is None else weights[trained],
    )


class _ChunkedCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        labels: Tensor,
        bias: Tensor | None,
        softcap: float | None,
        chunk_size: int,
        weights: Tensor | None,
    ) -> Tensor:
        device = hidden.device.type
        dtype = (
            torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        )
        wants_hidden, wants_weight, _, wants_bias = ctx.needs_input_grad[:4]
        ctx.dtypes = hidden.dtype, weight.dtype, None if bias is None else bias.dtype
        with torch.autocast(device, enabled=False):
            head = weight.to(dtype)  # once, not once a chunk
            total = hidden.new_zeros((), dtype=torch.float32)
            # fp32: these wait for the loss scale, which in fp16 comes only in the backward pass.
            grad_hidden = torch.empty_like(hidden, dtype=torch.float32) if wants_hidden else None
            grad_weight = torch.zeros_like(weight, dtype=torch.float32) if wants_weight else None
            grad_bias = hidden.new_zeros(len(head), dtype=torch.float32) if wants_bias else None
            for start in steps_to_run(range(0, len(labels), chunk_size), hidden):
                chunk = slice(start, start + chunk_size)
                rows = hidden[chunk].to(dtype)
                count = len(rows)
                if runs_on_cpu(rows):
                    rows = F.pad(rows, (0, 0, 0, -count % min(_SIMILAR, chunk_size)))
                logits = rows @ head.T
                total += _to_gradient(
                    logits[:count],
                    labels[chunk, None],
                    bias,
                    softcap,
                    grad_bias,
                    any(ctx.needs_input_grad),
                    None if weights is None else weights[chunk, None],
                )
                if grad_hidden is not None:
                    grad_hidden[chunk] = (logits @ head)[:count]
                if grad_weight is not None:
                    grad_weight += logits.T @ rows
        ctx.save_for_backward(grad_hidden, grad_weight, grad_bias)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad_total: Tensor) -> tuple[Tensor | None, ...]:
        grads = [
            None if grad is None else (grad * grad_total).to(dtype)
            for grad, dtype in zip(ctx.saved_tensors, ctx.dtypes, strict=True)
        ]
        return grads[0], grads[1], None, grads[2], None, None, None


def _to_gradient(
    logits: Tensor,
    targets: Tensor,
    bias: Tensor | None,
    softcap: float | None,
    grad_bias: Tensor | None,
    wanted: bool,
    weights: Tensor | None,
) -> Tensor:
    """Write over `logits` [C, V] the loss's gradient by them; return the loss of the C targets.

    `bias` and `softcap` are applied first, and the gradient is that by what came before them.
    `grad_bias` [V] is added to. `targets` and `weights` are [C, 1]. Where no gradient is wanted,
    none is written.
    """
    vocabulary = logits.shape[1]
    total = logits.new_zeros((), dtype=torch.float32)
    size = len(logits)
    if runs_on_cpu(logits):
        size = max(1, min(size, _CACHED * torch.get_num_threads() // vocabulary))
    block = logits.new_empty((size, vocabulary), dtype=torch.float32)
    factors = [None] * -(-len(logits) // size) if weights is None else weights.split(size)
    blocks = list(zip(logits.split(size), targets.split(size), factors, strict=True))
    for out, target, factor in steps_to_run(blocks, logits):
        scores = block[: len(out)].copy_(out)
        if bias is not None:
            scores += bias
        slope = None
        if softcap is not None:
            scores.div_(softcap).tanh_()
            slope = 1 - scores.square()
            scores.mul_(softcap)
        peak, own = scores.amax(dim=1, keepdim=True), scores.gather(1, target)
        scores.sub_(peak).exp_()
        mass = scores.sum(dim=1, keepdim=True)
        losses = mass.log() + peak - own
        total += (losses if factor is None else losses * factor).sum()
        if not wanted:
            continue
        scores.mul_(mass.reciprocal()).scatter_add_(1, target, -torch.ones_like(own))
        if slope is not None:
            scores *= slope
        if factor is not None:
            scores *= factor
        if grad_bias is not None:
            grad_bias += scores.sum(dim=0)
        out.copy_(scores)
    return total
