"""Causal attention document by document with torch's scaled_dot_product_attention.

Shapes: T tokens of the row, L of one document, H query heads, K key and value heads, E head width.

A block-diagonal mask over the whole row costs T x T; documents of 128 tokens in a row of 1,024 are
5 times faster one by one (measured, one CPU core, forward and backward).

On a CPU bf16 is attended in fp32: in bf16 oneDNN keeps a kernel for every length that it meets, and
is slow backwards (see side_by_side.py). What is kept for the backward pass is then twice as much.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from xtune.losses.devices import runs_on_cpu

__all__ = ["attend_by_document"]

_SMALLEST_BLOCK = 256  # a small window would otherwise make many small products


def attend_by_document(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    lengths: list[int],
    window: int | None = None,
    dropout: float = 0.0,
    scaling: float | None = None,
    alibi_slopes: Tensor | None = None,
    shared: list[int] | None = None,
) -> Tensor:
    """Attend within each document.

    Args:
        query: [1, H, T, E].
        key: [1, K, T, E]; each serves H / K query heads.
        value: [1, K, T, E].
        lengths: L of each document; they sum to T.
        window: a token sees itself and the `window - 1` before it; None is all before it.
        dropout: probability of dropping an attention weight.
        scaling: of the scores; default 1 / sqrt(E).
        alibi_slopes: [H]; a score falls by slope x distance (Press et al. 2021). Not together
            with a window.
        shared: of each document, how many of its first tokens need no result; they get 0 where
            that saves work. None: none.

    Returns:
        [1, T, H, E].
    """
    if query.dtype == torch.bfloat16 and runs_on_cpu(query):
        with torch.autocast("cpu", enabled=False):
            out = attend_by_document(
                query.float(),
                key.float(),
                value.float(),
                lengths=lengths,
                window=window,
                dropout=dropout,
                scaling=scaling,
                alibi_slopes=alibi_slopes,
                shared=shared,
            )
        return out.to(query.dtype)
    outputs = []
    for q, k, v, first in zip(
        query.split(lengths, 2),
        key.split(lengths, 2),
        value.split(lengths, 2),
        shared or [0] * len(lengths),
        strict=True,
    ):
        if alibi_slopes is not None:
            out = _with_alibi(q, k, v, alibi_slopes, dropout, scaling)
        elif window is None or q.shape[2] <= window:
            out = _causal(q, k, v, dropout, scaling, first)
        else:
            out = _windowed(q, k, v, window, dropout, scaling)
        outputs.append(out.transpose(1, 2))
    return torch.cat(outputs, dim=1)


def _causal(
    query: Tensor, key: Tensor, value: Tensor, dropout: float, scaling: float | None, first: int
) -> Tensor:
    """One document, of which the results of the `first` tokens are 0."""
    mask = None
    if first:
        query = query[:, :, first:]
        mask = torch.ones(query.shape[2], key.shape[2], dtype=torch.bool, device=query.device)
        mask = mask.tril_(first)
    out = F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=mask is None,
        scale=scaling,
        enable_gqa=query.shape[1] != key.shape[1],  # faster than repeating keys (measured)
    )
    return F.pad(out, (0, 0, first, 0)) if first else out


def _with_alibi(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    slopes: Tensor,
    dropout: float,
    scaling: float | None,
) -> Tensor:
    """One document, in blocks of queries: the bias of a block is H x 256 x L, not H x L x L."""
    length = query.shape[2]
    outputs = []
    for start in range(0, length, _SMALLEST_BLOCK):
        stop = min(start + _SMALLEST_BLOCK, length)
        to = torch.arange(start, stop, device=query.device)[:, None]
        distance = torch.arange(stop, device=query.device)[None, :] - to  # 0 is the token itself
        bias = (slopes[:, None, None] * distance).masked_fill(distance > 0, -torch.inf)
        outputs.append(
            F.scaled_dot_product_attention(
                query[:, :, start:stop],
                key[:, :, :stop],
                value[:, :, :stop],
                attn_mask=bias[None].to(query.dtype),
                dropout_p=dropout,
                scale=scaling,
                enable_gqa=query.shape[1] != key.shape[1],
            )
        )
    return torch.cat(outputs, dim=2)


def _windowed(
    query: Tensor, key: Tensor, value: Tensor, window: int, dropout: float, scaling: float | None
) -> Tensor:
    """One document that is longer than the window, in blocks: L x window scores, not L x L."""
    length = query.shape[2]
    block = max(window, _SMALLEST_BLOCK)
    outputs = []
    for start in range(0, length, block):
        stop = min(start + block, length)
        first = max(0, start - window + 1)
        to = torch.arange(start, stop, device=query.device)[:, None]
        of = torch.arange(first, stop, device=query.device)[None, :]
        outputs.append(
            F.scaled_dot_product_attention(
                query[:, :, start:stop],
                key[:, :, first:stop],
                value[:, :, first:stop],
                attn_mask=(of <= to) & (of > to - window),
                dropout_p=dropout,
                scale=scaling,
                enable_gqa=query.shape[1] != key.shape[1],
            )
        )
    return torch.cat(outputs, dim=2)
