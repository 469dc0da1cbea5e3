"""Causal attention on a CPU in bf16: blocks of queries, those of short documents side by side.

torch's kernel for the CPU takes a document at a time, and is slow backwards in bf16. Here a
document is cut into blocks of at most 128 queries, each with the keys that they may see. Blocks of
similar size are padded to one size, and as many as stay in a processor's cache are a group: each
step of attention is one batched product over the group.

    scores [n, K, H/K Q, S] = scaling query key' + bias      bias: -inf where nothing is seen
    P = softmax(scores);   out = P value

    backward, P made again:   dV = P' dO;   dP = dO value';   dS = P (dP - rowsum(P dP));
                              dQ = scaling dS key;   dK = scaling dS' query

Kept for the backward pass are query, key and value alone. Scores, P, dP and dS are fp32; P and dS
are rounded for their products, as torch's kernels do, and sums over blocks are fp32.

Shapes: T tokens of the row, L of one document, H query heads, K key and value heads, E head width
(the values' may be another); of a group: n blocks, Q queries and S keys of each.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = ["Blocks", "attend_by_blocks", "cut_into_blocks"]

_QUERIES = 128  # of a block
_SIMILAR = 32  # sizes that are equal when rounded up to this are similar
_CACHED = 2**18  # scores that a core keeps at hand: 1 MB in fp32, a second-level cache


class Blocks(NamedTuple):
    """A group of blocks. Padding is read from a token's place and written to place T.

    Attributes:
        queries: int64 [n, Q], where to read queries in the row.
        keys: int64 [n, S].
        to_queries: int64 [n Q], where to write what belongs to queries.
        to_keys: int64 [n S].
        unseen: fp32 [n, 1, Q, S], 0, or -inf where a query does not see a key.
        is_query: fp32 [n, 1, 1, Q, 1], 0 for padding; None if there is none.
    """

    queries: Tensor
    keys: Tensor
    to_queries: Tensor
    to_keys: Tensor
    unseen: Tensor
    is_query: Tensor | None


def cut_into_blocks(lengths: list[int], window: int | None, heads: int) -> list[Blocks]:
    """Plan a row's attention, once for all layers with as many heads.

    Args:
        lengths: L of each document; they sum to T.
        window: a token sees itself and the `window - 1` before it; None is all before it.
        heads: H.
    """
    alike: dict[tuple[int, int], list[tuple[int, int, int]]] = {}
    begin = 0
    for length in lengths:
        for start in range(0, length, _QUERIES):
            stop = min(start + _QUERIES, length)
            first = 0 if window is None else max(0, start - window + 1)
            size = -(-(stop - start) // _SIMILAR), -(-(stop - first) // _SIMILAR)
            alike.setdefault(size, []).append((begin + first, begin + start, begin + stop))
        begin += length
    groups = []
    for (queries, keys), edges in alike.items():
        scores = heads * queries * keys * _SIMILAR**2
        n = max(1, _CACHED * torch.get_num_threads() // scores)
        groups += [_group(edges[i : i + n], begin, window) for i in range(0, len(edges), n)]
    return groups


def _group(edges: list[tuple[int, int, int]], total: int, window: int | None) -> Blocks:
    """From the first key, the first query and the end of each block."""
    sizes = [(stop - start, stop - first) for first, start, stop in edges]
    most_queries, most_keys = (  # a few sizes in all: see xtune.models.row_length
        -(-max(size) // _SIMILAR) * _SIMILAR for size in zip(*sizes, strict=True)
    )
    padded = any(queries < most_queries for queries, _ in sizes)
    first, start, stop = (torch.tensor(edge)[:, None] for edge in zip(*edges, strict=True))
    queries, keys = start + torch.arange(most_queries), first + torch.arange(most_keys)
    last = stop - 1
    is_query = queries <= last
    to_queries = torch.where(is_query, queries, total)
    to_keys = torch.where(keys <= last, keys, total)
    # a padded query sees what the last one does: its result is dropped, but must be a number
    queries = torch.minimum(queries, last)
    distance = queries[:, :, None] - keys[:, None, :]
    seen = (distance >= 0) & (distance < (total if window is None else window))
    return Blocks(
        queries,
        torch.minimum(keys, last),
        to_queries.flatten(),
        to_keys.flatten(),
        torch.zeros(seen.shape).masked_fill_(~seen, -torch.inf)[:, None],
        is_query[:, None, None, :, None].float() if padded else None,
    )


def attend_by_blocks(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    groups: list[Blocks],
    *,
    scaling: float | None = None,
    alibi_slopes: Tensor | None = None,
) -> Tensor:
    """Attend within each document.

    Args:
        query: [1, H, T, E].
        key: [1, K, T, E]; each serves H / K query heads.
        value: [1, K, T, E].
        groups: of `cut_into_blocks`.
        scaling: of the scores; default 1 / sqrt(E).
        alibi_slopes: [H]; a score falls by slope x distance (Press et al. 2021).

    Returns:
        [1, T, H, E]; it and the gradients are in the dtypes of what they belong to.
    """
    scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
    return _ByBlocks.apply(query, key, value, groups, scaling, alibi_slopes)


class _ByBlocks(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        groups: list[Blocks],
        scaling: float,
        slopes: Tensor | None,
    ) -> Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.settings = groups, scaling, slopes
        heads, kv_heads = query.shape[1], key.shape[1]
        out = value.new_empty(query.shape[2] + 1, heads, value.shape[3])
        scores = _scratch(groups, heads)
        with torch.autocast(query.device.type, enabled=False):
            for group in groups:
                q = _read(query, group.queries, kv_heads, torch.float32)
                k = _read(key, group.keys, kv_heads, torch.float32)
                v = _read(value, group.keys, kv_heads, value.dtype)
                weights = _weights(q, k, group, scaling, slopes, scores)
                product = torch.bmm(weights.to(v.dtype), v)
                out.index_copy_(0, group.to_queries, _rows(product, group.queries, heads))
        return out[:-1].unsqueeze(0)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        states = ctx.saved_tensors
        query, key, value = states
        groups, scaling, slopes = ctx.settings
        heads, kv_heads, dtype = query.shape[1], key.shape[1], query.dtype
        grad = grad.transpose(1, 2)
        grads = grad_q, grad_k, grad_v = [
            state.new_zeros(state.shape[2] + 1, *state.shape[1::2], dtype=torch.float32)
            for state in states
        ]
        scores, slope_of_weights = (_scratch(groups, heads) for _ in range(2))
        with torch.autocast(query.device.type, enabled=False):
            for group in groups:
                q = _read(query, group.queries, kv_heads, torch.float32)
                k, v = (_read(t, group.keys, kv_heads, torch.float32) for t in (key, value))
                out = _read(grad, group.queries, kv_heads, torch.float32)
                if group.is_query is not None:
                    n, queries = group.queries.shape
                    out.view(n, kv_heads, -1, queries, out.shape[-1]).mul_(group.is_query)
                weights = _weights(q, k, group, scaling, slopes, scores)
                product = torch.bmm(weights.to(dtype).transpose(1, 2), out.to(dtype))
                _add(grad_v, group.to_keys, product, group.keys)
                slope = slope_of_weights[: weights.numel()].view_as(weights)
                torch.bmm(out, v.transpose(1, 2), out=slope)
                torch._softmax_backward_data(slope, weights, -1, slope.dtype, grad_input=slope)
                narrow = slope.to(dtype)
                product = torch.bmm(narrow, k.to(dtype))
                grad_q.index_copy_(
                    0, group.to_queries, _rows(product, group.queries, heads).float()
                )
                product = torch.bmm(narrow.transpose(1, 2), q.to(dtype))
                _add(grad_k, group.to_keys, product, group.keys)
        grad_q.mul_(scaling)
        grad_k.mul_(scaling)
        wanted = zip(grads, states, ctx.needs_input_grad, strict=False)
        return (
            *(
                g[:-1].to(state.dtype).unsqueeze(0).transpose(1, 2) if needed else None
                for g, state, needed in wanted
            ),
            None,
            None,
            None,
        )


def _scratch(groups: list[Blocks], heads: int) -> Tensor:
    """Room for the scores of any group: memory that is used again is in cache."""
    return torch.empty(heads * max(group.unseen.numel() for group in groups))


def _read(states: Tensor, places: Tensor, kv_heads: int, dtype: torch.dtype) -> Tensor:
    """[1, H, T, E] at places [n, Q] to [n K, H/K Q, E]."""
    heads, width = states.shape[1], states.shape[3]
    rows = states[0].transpose(0, 1).reshape(-1, heads * width).index_select(0, places.flatten())
    rows = rows.view(*places.shape, kv_heads, -1, width).permute(0, 2, 3, 1, 4)
    turned = torch.empty(rows.shape, dtype=dtype, device=rows.device).copy_(rows)
    return turned.view(len(places) * kv_heads, -1, width)


def _rows(states: Tensor, places: Tensor, heads: int) -> Tensor:
    """[n K, H/K Q, E] to [n Q, H, E]."""
    n, queries = places.shape
    width = states.shape[-1]
    return states.view(n, heads, queries, width).transpose(1, 2).reshape(-1, heads, width)


def _add(sums: Tensor, to: Tensor, states: Tensor, places: Tensor) -> None:
    sums.index_add_(0, to, _rows(states, places, sums.shape[1]).float())


def _weights(
    q: Tensor,
    k: Tensor,
    group: Blocks,
    scaling: float,
    slopes: Tensor | None,
    scratch: Tensor,
) -> Tensor:
    """P, fp32 [n K, H/K Q, S], in `scratch`."""
    n, _, queries, keys = group.unseen.shape
    shape = len(q), q.shape[1], keys
    scores = scratch[: shape[0] * shape[1] * keys].view(shape)
    torch.baddbmm(scores, q, k.transpose(1, 2), beta=0, alpha=scaling, out=scores)
    each = scores.view(n, -1, queries, keys).add_(group.unseen)
    if slopes is not None:
        distance = group.keys[:, None, :] - group.queries[:, :, None]
        each += slopes[:, None, None] * distance[:, None]
    return torch.softmax(scores, -1, out=scores)
