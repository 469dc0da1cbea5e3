"""Causal attention on a CPU in bf16: documents of similar length side by side.

A row's documents are copied into batches [n, H, L, E] whose lengths are padded to a multiple of 32,
so that many short ones are one call. Padding comes last: no token of the document sees it, and
its own results are dropped.

Forwards it is torch's flash kernel. Backwards that takes about twice as long as batched products
of the same numbers (all copies included 1.5 to 2.3 times, measured without AMX), so there it is
those, over blocks of queries (Dao 2023, with large blocks):

    P = exp(s Q K' - lse)     dS = P (dO V' - D)     D = rowsum(dO O)     lse: kept, one a query
    dV = P' dO                dQ = s dS K            dK = s dS' Q

A product in bf16 adds in fp32 and is rounded once. So lse and D are subtracted within it, by two
columns more: what is rounded is small where it matters. What log P loses by that is the same
product less its rounded value, and corrects P to the first order. Gradients are 0.7 to 1.4 times
as far from fp32 as those of torch's kernel in bf16: dQ is the 1.4. With exp in fp32 it would be
1.15, and the pass a third slower; a model's gradient as a whole shows no difference.

oneDNN makes a kernel for each shape in bf16 and keeps it, 0.2 MB each. With every length of its
own, 900 rows of documents of 20 to 600 tokens grew the process by 2.2 GB; padded, and as many at a
time as a power of two, by 0.2 GB.

Of a document whose beginning another one has too (unfolding.py), the queries of that beginning are
left out, down to a multiple of 32: what becomes of them is nothing, and no one reads it.

Shapes: T tokens of the row, n documents of a batch, L their length with padding, F queries of each
that are left out, H query heads, K key and value heads, G = H / K, E head width (the values' may
be another).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from xtune.losses.devices import steps_to_run

__all__ = ["Alike", "attend_side_by_side", "sort_by_length"]

_SIMILAR = 32  # lengths that are equal when rounded up to this go side by side
_QUERIES = 256  # of a block, at most: half of a block's scores on the diagonal are for nothing
_SCORES = 2**23  # of a block, at most, all heads and documents together: 16 MB in bf16


class Alike(NamedTuple):
    """Documents of similar length, padded to one.

    Attributes:
        places: int64 [n L], where to read in the row; the last token's place where it is padding.
        to: int64 [n L], where to write; T where it is padding.
        length: L.
        first: F, a multiple of 32; 0: every token asks.
    """

    places: Tensor
    to: Tensor
    length: int
    first: int = 0

    def queries(self, of_all: Tensor) -> Tensor:
        """Of `places` or `to` those that ask: [n (L - F)]."""
        return of_all.view(-1, self.length)[:, self.first :].flatten() if self.first else of_all


def sort_by_length(lengths: list[int], shared: list[int] | None = None) -> list[Alike]:
    """Plan a row's attention, once for all layers.

    Args:
        lengths: of each document.
        shared: of each, how many of its first tokens need no result; None: none.
    """
    starts: dict[tuple[int, int], list[tuple[int, int]]] = {}
    total = 0
    for length, left_out in zip(lengths, shared or [0] * len(lengths), strict=True):
        kind = -(-length // _SIMILAR) * _SIMILAR, left_out // _SIMILAR * _SIMILAR
        starts.setdefault(kind, []).append((total, total + length))
        total += length
    groups = []
    for (length, first), edges in starts.items():
        while edges:  # as many as a power of two: few shapes
            n = 1 << (len(edges).bit_length() - 1)
            groups.append(_alike(edges[:n], length, total)._replace(first=first))
            edges = edges[n:]
    return groups


def _alike(edges: list[tuple[int, int]], length: int, total: int) -> Alike:
    start, stop = (torch.tensor(edge)[:, None] for edge in zip(*edges, strict=True))
    places = start + torch.arange(length)
    to = places.masked_fill(places >= stop, total)
    places = torch.minimum(places, stop - 1)
    return Alike(places.flatten(), to.flatten(), length)


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
        make = query.new_zeros if any(group.first for group in groups) else query.new_empty
        out = make(total + 1, heads * width)
        sums = make(total + 1, heads, dtype=torch.float32)
        for group in groups:
            part, sum_of_exp = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
                _read(query, group.queries(group.places), group.length - group.first),
                *(_read(states, group.places, group.length) for states in (key, value)),
                0.0,
                not group.first,
                attn_mask=_mask(group, query) if group.first else None,
                scale=scaling,
            )
            to = group.queries(group.to)
            for whole, each in ((out, part.transpose(1, 2)), (sums, sum_of_exp.transpose(1, 2))):
                whole.index_copy_(0, to, each.flatten(2).flatten(0, 1))
        result = out[:-1].view(1, total, heads, width)
        ctx.save_for_backward(query, key, value, result, sums)
        ctx.settings = groups, scaling
        return result

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, value, result, sums = ctx.saved_tensors
        groups, scaling = ctx.settings
        kv_heads = key.shape[1]
        rows = [states.transpose(1, 2)[0] for states in (query, key, value)]
        slope_of_sums = (grad.float() * result.float()).sum(-1)[0]  # D
        wide = [
            _by_key_heads(rows[0], kv_heads, sums[:-1] / -scaling),
            *(_by_key_heads(states, kv_heads) for states in rows[1:]),
            _by_key_heads(grad[0], kv_heads, -slope_of_sums),
        ]
        grads = [torch.empty_like(states[..., :-2]) for states in wide[:3]]
        first = torch.arange(kv_heads)[:, None] * wide[0].shape[1]
        with torch.autocast(query.device.type, enabled=False):
            for group in groups:
                places = (first + group.to).flatten()
                query, key, value, slope = (
                    states.flatten(0, 1)
                    .index_select(0, places)
                    .view(len(places) // group.length, -1, states.shape[-1])
                    for states in wide
                )
                parts = _backward(query, key, value, slope, group.length, group.first, scaling)
                for whole, part in zip(grads, parts, strict=True):
                    whole = whole.view(-1, *whole.shape[2:])
                    whole.index_copy_(0, places, part.view(-1, *whole.shape[1:]).to(whole.dtype))
        return (
            *(
                whole[:, :-1].transpose(0, 1).reshape(1, *states.shape).transpose(1, 2)
                if needed
                else None
                for whole, states, needed in zip(grads, rows, ctx.needs_input_grad, strict=False)
            ),
            None,
            None,
        )


def _backward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    slope: Tensor,
    length: int,
    first: int,
    scaling: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of query, key and value, [n K, L G or L, E], from [n K, L G or L, E + 2]."""
    each = query.shape[1] // length
    grad_query = (torch.zeros_like if first else torch.empty_like)(query[..., :-2])
    grad_key, grad_value = (torch.zeros_like(key[..., :-2], dtype=torch.float32) for _ in range(2))
    block = min(_QUERIES, _SCORES // (len(query) * each * length))
    block = max(1, block // _SIMILAR) * _SIMILAR
    for start in steps_to_run(range(first, length, block), query):
        stop = min(start + block, length)
        own, seen = slice(start * each, stop * each), slice(stop)
        q, k, v, g = query[:, own], key[:, seen], value[:, seen], slope[:, own]
        weights = _weights(q, k, start, scaling)
        grad_value[:, seen] += weights.transpose(1, 2).bmm(g[..., :-2])
        slopes = g.bmm(v.transpose(1, 2)).mul_(weights)  # dS
        grad_query[:, own] = _scaled(slopes, k[..., :-2], scaling)
        grad_key[:, seen] += _scaled(slopes.transpose(1, 2), q[..., :-2], scaling)
    return grad_query, grad_key, grad_value


def _weights(query: Tensor, key: Tensor, start: int, scaling: float) -> Tensor:
    """P of a block of queries, [n K, Q G, S], from [n K, Q G, E + 2] and [n K, S, E + 2].

    The first of them is number `start` of its document, and the last sees all S keys.
    """
    turned = key.transpose(1, 2)
    logarithm = _scaled(query, turned, scaling)
    lost = torch.baddbmm(logarithm, query, turned, beta=-1, alpha=scaling)
    queries = key.shape[1] - start
    future = logarithm.new_full((queries, queries), -torch.inf).triu_(1)
    logarithm.view(len(query), queries, -1, key.shape[1])[..., start:] += future[:, None]
    weights = logarithm.exp_()
    return weights.addcmul_(weights, lost)


def _scaled(left: Tensor, right: Tensor, scaling: float) -> Tensor:
    """A batched product, scaled before it is rounded."""
    return torch.baddbmm(left.new_empty(()), left, right, beta=0, alpha=scaling)


def _by_key_heads(states: Tensor, kv_heads: int, addend: Tensor | None = None) -> Tensor:
    """[T, H, E] to [K, T + 1, G, E + 2], zero at place T.

    The last two columns add a number to a query's products: its rounded value and what that lost,
    of `addend` [T, H], and on the other side, where that is None, ones.
    """
    total, heads, width = states.shape
    out = states.new_empty(kv_heads, total + 1, heads // kv_heads, width + 2)
    out[:, total] = 0
    rows = out[:, :total].transpose(0, 1)
    rows[..., :width] = states.unflatten(1, (kv_heads, -1))
    if addend is None:
        rows[..., width:] = 1
    else:
        addend = addend.unflatten(1, (kv_heads, -1))
        rows[..., width] = addend
        rows[..., width + 1] = addend - rows[..., width]
    return out


def _read(states: Tensor, places: Tensor, length: int) -> Tensor:
    """[1, H, T, E] to [n, H, length, E]."""
    _, heads, total, width = states.shape
    rows = states.transpose(1, 2).reshape(total, heads * width).index_select(0, places)
    return rows.view(-1, length, heads, width).transpose(1, 2)


def _mask(group: Alike, query: Tensor) -> Tensor:
    """What is added to the scores of queries F to L with keys 0 to L, [L - F, L]."""
    future = query.new_full((group.length - group.first, group.length), -torch.inf)
    return future.triu_(group.first + 1)
