"""A linear head's pass over chunks of positions: each one's loss, and the gradients, if wanted.

Shapes: N positions, D width, V vocabulary, C positions of one chunk, R of one block in cache.

The gradient of cross-entropy by the logits is `softmax - onehot`: it needs nothing that the
forward pass does not have at hand. So each chunk's logits are made, turned into their own gradient
in place, multiplied back to the width D, and dropped:

    chunk of hidden [C, D] --@ weight.T--> logits [C, V] --softmax - onehot--> [C, V]
                                                            --@ weight--> grad of hidden [C, D]

The products want many rows at once, the softmax few: on a CPU it goes through a chunk some rows at
a time, R, so that their fp32 numbers stay in the processor's cache from the first to the last of
its steps (2 to 3 times as fast at V = 49,152, measured), and each row's gradient is written over
its logits. No fp32 copy of a chunk exists.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from xtune.losses.devices import runs_on_cpu, steps_to_run

__all__ = ["Passed", "Scoring", "Wanted", "pass_chunks", "product_dtype"]

# Rows of a product on a CPU are a multiple of this: few shapes, see models/shape_rounding.py
_SIMILAR = 32
_CACHED = 2**19  # fp32 numbers that a core keeps at hand: 2 MB, a server core's second-level cache


class Scoring(NamedTuple):
    """What becomes of `hidden @ weight.T` before the softmax, in this order.

    Attributes:
        bias: [V], added; None: nothing.
        softcap: c of `c * tanh(logits / c)`; None: no bound.
        temperature: what the logits are divided by.
    """

    bias: Tensor | None = None
    softcap: float | None = None
    temperature: float = 1.0


class Wanted(NamedTuple):
    """Which tensors a gradient is to be computed for."""

    hidden: bool = False
    weight: bool = False
    bias: bool = False

    @classmethod
    def of(cls, hidden: Tensor, weight: Tensor, bias: Tensor | None) -> Wanted:
        """Ask the tensors, and whether a graph is recorded: a custom function is not told that.

        Args:
            hidden: [N, D].
            weight: of the head, [V, D].
            bias: of the head, [V], or None.
        """
        recording = torch.is_grad_enabled()
        tensors = (hidden, weight, bias)
        return cls(*(recording and t is not None and t.requires_grad for t in tensors))


class Passed(NamedTuple):
    """What a pass over all chunks gives.

    Attributes:
        total: fp32 scalar, the losses added up, each times its weight.
        losses: fp32 [N], of each position, without its weight.
        hidden: fp32 [N, D], the gradient of `total` by the hidden states, if it was wanted.
        weight: fp32 [V, D], that by the head's weight.
        bias: fp32 [V], that by its bias.
    """

    total: Tensor
    losses: Tensor
    hidden: Tensor | None
    weight: Tensor | None
    bias: Tensor | None


def product_dtype(hidden: Tensor) -> torch.dtype:
    """Return what a head's products are computed in: autocast's dtype where it is on."""
    device = hidden.device.type
    return torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype


def pass_chunks(
    hidden: Tensor,
    weight: Tensor,
    labels: Tensor,
    scoring: Scoring,
    *,
    chunk_size: int,
    dtype: torch.dtype,
    wanted: Wanted,
    weights: Tensor | None = None,
    squares: Tensor | None = None,
) -> Passed:
    """Compute the loss of each position, and the gradients of their weighted sum.

    Args:
        hidden: [N, D].
        weight: [V, D].
        labels: int64 [N], each below V.
        scoring: from products to logits.
        chunk_size: C.
        dtype: of the products; the softmax and every sum over chunks are fp32.
        wanted: which gradients.
        weights: fp32 [N]; the factor of each position's loss; None: 1.
        squares: fp32 [N], written: the logarithm of the sum of the squared probabilities.
    """
    with torch.autocast(hidden.device.type, enabled=False):
        head = weight.to(dtype)  # once, not once a chunk
        total = hidden.new_zeros((), dtype=torch.float32)
        losses = hidden.new_empty(len(labels), dtype=torch.float32)
        # fp32: these wait for the loss scale, which in fp16 comes only in the backward pass.
        grad_hidden = torch.empty_like(hidden, dtype=torch.float32) if wanted.hidden else None
        grad_weight = torch.zeros_like(weight, dtype=torch.float32) if wanted.weight else None
        grad_bias = hidden.new_zeros(len(head), dtype=torch.float32) if wanted.bias else None
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
                scoring,
                grad_bias,
                any(wanted),
                None if weights is None else weights[chunk, None],
                losses[chunk, None],
                None if squares is None else squares[chunk, None],
            )
            if grad_hidden is not None:
                grad_hidden[chunk] = (logits @ head)[:count]
            if grad_weight is not None:
                grad_weight += logits.T @ rows
    return Passed(total, losses, grad_hidden, grad_weight, grad_bias)


def _to_gradient(
    logits: Tensor,
    targets: Tensor,
    scoring: Scoring,
    grad_bias: Tensor | None,
    wanted: bool,
    weights: Tensor | None,
    losses: Tensor,
    squares: Tensor | None,
) -> Tensor:
    """Write over `logits` [C, V] the loss's gradient by them; return the loss of the C targets.

    `scoring` is applied first, and the gradient is that by what came before it. `grad_bias` [V] is
    added to, `losses` and `squares` [C, 1] are written. `targets` and `weights` are [C, 1]. Where
    no gradient is wanted, none is written.
    """
    bias, softcap, temperature = scoring
    vocabulary = logits.shape[1]
    total = logits.new_zeros((), dtype=torch.float32)
    size = len(logits)
    if runs_on_cpu(logits):
        size = max(1, min(size, _CACHED * torch.get_num_threads() // vocabulary))
    block = logits.new_empty((size, vocabulary), dtype=torch.float32)
    factors = [None] * -(-len(logits) // size) if weights is None else weights.split(size)
    spread = [None] * len(factors) if squares is None else squares.split(size)
    parts = (logits.split(size), targets.split(size), factors, losses.split(size), spread)
    for out, target, factor, found, squared in steps_to_run(list(zip(*parts, strict=True)), logits):
        scores = block[: len(out)].copy_(out)
        if bias is not None:
            scores += bias
        slope = None
        if softcap is not None:
            scores.div_(softcap).tanh_()
            slope = 1 - scores.square()
            scores.mul_(softcap)
        if temperature != 1.0:
            scores.div_(temperature)
        peak, own = scores.amax(dim=1, keepdim=True), scores.gather(1, target)
        scores.sub_(peak).exp_()
        mass = scores.sum(dim=1, keepdim=True)
        found.copy_(mass.log() + peak - own)
        if squared is not None:  # p is scores / mass
            norm = torch.linalg.vector_norm(scores, dim=1, keepdim=True)
            squared.copy_(2 * (norm.log() - mass.log()))
        total += (found if factor is None else found * factor).sum()
        if not wanted:
            continue
        scores.mul_(mass.reciprocal()).scatter_add_(1, target, -torch.ones_like(own))
        if temperature != 1.0:
            scores.div_(temperature)
        if slope is not None:
            scores *= slope
        if factor is not None:
            scores *= factor
        if grad_bias is not None:
            grad_bias += scores.sum(dim=0)
        out.copy_(scores)
    return total
