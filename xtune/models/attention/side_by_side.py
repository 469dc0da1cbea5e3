"""Causal attention on a CPU: documents of similar length side by side in torch's flash kernel.

A row's documents are copied into batches [n, H, L, E] whose lengths are padded to a multiple of 32,
so that many short ones are one call. Padding comes last: no token of the document sees it, and
its own results are dropped.

In bf16 the kernel's backward pass is slow for short documents: eight of 128 tokens take three times
as long as in fp32. So theirs is in fp32, where nothing is rounded between the products. Both passes
are FlashAttention's (Dao 2023): kept are query, key, value, the result, which the projection that
comes next keeps too, and one number a query.

oneDNN makes a kernel for each shape in bf16 and keeps it. With every length of its own, 900 rows of
documents of 20 to 600 tokens grew the process by 2.2 GB; padded, by 0.14 GB.

Shapes: T tokens of the row, n documents of a batch, L their length with padding, H query heads,
K key and value heads, E head width (the values' may be another).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Alike", "attend_side_by_side", "sort_by_length"]

_SIMILAR = 32  # lengths that are equal when rounded up to this go side by side
_SHORT = 2**15  # L x E up to which the backward pass is faster in fp32 (measured, with AMX)


class Alike(NamedTuple):
    """Documents of similar length. Padding is read from a token's place and written to place T.

    Attributes:
        places: int64 [n L], where to read in the row.
        to: int64 [n L], where to write.
        padding: bool [n, 1, L, 1], which of them are padding; None if none is.
        length: L.
    """

    places: Tensor
    to: Tensor
    padding: Tensor | None
    length: int


def sort_by_length(lengths: list[int]) -> list[Alike]:
    """Plan a row's attention, once for all layers, from the length of each document."""
    starts: dict[int, list[tuple[int, int]]] = {}
    total = 0
    for length in lengths:
        rounded = -(-length // _SIMILAR) * _SIMILAR
        starts.setdefault(rounded, []).append((total, total + length))
        total += length
    groups = []
    for length, edges in starts.items():
        start, stop = (torch.tensor(edge)[:, None] for edge in zip(*edges, strict=True))
        places = start + torch.arange(length)
        padding = places >= stop
        to = places.masked_fill(padding, total)
        places = torch.minimum(places, stop - 1)
        padded = any(end - begin < length for begin, end in edges)
        groups.append(
            Alike(
                places.flatten(),
                to.flatten(),
                padding[:, None, :, None] if padded else None,
                length,
            )
        )
    return groups


def attend_side_by_side(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    groups: list[Alike],
    *,
    scaling: float | None = None,
) -> Tensor:
    """Attend within each document.

    Args:
        query: [1, H, T, E], fp32 or bf16.
        key: [1, K, T, E]; each serves H / K query heads.
        value: [1, K, T, E].
        groups: of `sort_by_length`.
        scaling: of the scores; default 1 / sqrt(E).

    Returns:
        [1, T, H, E]; it and the gradients are in the dtypes of what they belong to.
    """
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    widths = query.shape[-1], value.shape[-1]
    if widths[0] != widths[1]:  # the kernel knows one width; zeros add nothing
        query, key, value = (
            F.pad(states, (0, max(widths) - states.shape[-1])) for states in (query, key, value)
        )
    return _SideBySide.apply(query, key, value, groups, scaling)[..., : widths[1]]


class _SideBySide(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, groups: list[Alike], scaling: float
    ) -> Tensor:
        _, heads, total, width = query.shape
        out = query.new_empty(total + 1, heads * width)
        sums = []
        for group in groups:
            states = (
                _read(states.transpose(1, 2), group, states.dtype) for states in (query, key, value)
            )
            part, sum_of_exp = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                *states, 0.0, True, scale=scaling
            )
            out.index_copy_(0, group.to, _rows(part))
            sums.append(sum_of_exp)
        result = out[:-1].view(1, total, heads, width)
        ctx.save_for_backward(query, key, value, result, *sums)
        ctx.settings = groups, scaling
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, result, *sums = ctx.saved_tensors
        groups, scaling = ctx.settings
        rows = [states.transpose(1, 2) for states in (query, key, value)]
        grads = [
            states.new_empty(states.shape[1] + 1, states.shape[2] * states.shape[3])
            for states in rows
        ]
        for group, sum_of_exp in zip(groups, sums, strict=True):
            short = group.length * query.shape[-1] <= _SHORT
            dtype = torch.float32 if short else query.dtype
            slope = _read(grad, group, dtype)
            if group.padding is not None:
                slope.masked_fill_(group.padding, 0)
            states = (_read(states, group, dtype) for states in (*rows, result))
            parts = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward(
                slope, *states, sum_of_exp, 0.0, True, scale=scaling
            )
            for whole, part in zip(grads, parts, strict=True):
                whole.index_copy_(0, group.to, _rows(part).to(whole.dtype))
        return (
            *(
                whole[:-1].view(states.shape).transpose(1, 2) if needed else None
                for whole, states, needed in zip(grads, rows, ctx.needs_input_grad, strict=False)
            ),
            None,
            None,
        )


def _read(states: Tensor, group: Alike, dtype: torch.dtype) -> Tensor:
    """[1, T, H, E] to [n, H, L, E]."""
    _, _, heads, width = states.shape
    rows = states.reshape(-1, heads * width).index_select(0, group.places)
    return rows.to(dtype).view(-1, group.length, heads, width).transpose(1, 2)


def _rows(states: Tensor) -> Tensor:
    """[n, H, L, E] to [n L, H E]."""
    return states.transpose(1, 2).flatten(2).flatten(0, 1)
