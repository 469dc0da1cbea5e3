"""Attention in bf16 on a CPU that gives each token the same bits, whatever is computed next to it.

torch's SDPA sums over a row's columns in blocks that begin where the batch's columns begin, and by
kernels that depend on how many queries come at once. So a row that is padded, or a prompt that is
read in pieces, comes out with other last bits, and a near tie of two tokens falls otherwise. Here
each row's keys are summed from its own first one on, by products of at least two rows of queries,
which oneDNN computes row by row alike (measured: batches of 1 to 64, 1 to 700 keys, widths of 64
and 128, one and two threads). Whether this processor does so too is tried once, `_adds_up_alike`.

Shapes: S rows, H query heads, K key heads, G = H / K, T queries, C columns, E head width.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface

from xtune.errors import ModelError
from xtune.models.attention.varlen import why_not_one_row

__all__ = ["NAME", "alike_attention", "attends_alike"]

NAME = "xtune_alike"
_QUERIES = 256  # at once: the scores of a long prompt are never held whole
_LANES = 32  # numbers in bf16 that torch's softmax takes at once; a rest is summed in another order


def attends_alike(llm: PreTrainedModel) -> bool:
    """Whether this attention is for a model: in bf16 on a CPU, and of a kind that is computed here.

    Args:
        llm: without its adapter.
    """
    weight = llm.get_input_embeddings().weight
    return (
        weight.device.type == "cpu"
        and weight.dtype == torch.bfloat16
        and not getattr(llm, "is_quantized", False)
        and llm.get_correct_attn_implementation(None) == "sdpa"
        and why_not_one_row(llm, kernels=False) is None
        and "alibi" not in type(llm).__name__.lower()
        and _adds_up_alike()
    )


def alike_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    sliding_window: int | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Causal attention of the last columns to all.

    Args:
        module: the attention layer that calls.
        query: [S, H, T, E].
        key: [S, K, C, E], and so are the values, whose width may be another.
        value: those of the keys.
        attention_mask: int64 [S, 2], the first column of each row and the one behind its last;
            None: all columns are.
        scaling: of the scores; default 1 / sqrt(E).
        sliding_window: a token sees itself and the `sliding_window - 1` before it.
        others: what families pass that changes nothing here, or is refused.

    Returns:
        [S, T, H, E], and None for the attention weights.

    Raises:
        ModelError: a kind of attention that `attends_alike` should have told.
    """
    for name in ("softcap", "s_aux", "position_bias", "alibi_slopes"):
        if others.get(name) is not None:
            raise ModelError(f"{type(module).__name__} passes {name}, which {NAME} does not know")
    rows, heads, count, width = query.shape
    columns = key.shape[2]
    scale = width**-0.5 if scaling is None else scaling
    query = query.reshape(rows, key.shape[1], heads // key.shape[1], count, width)
    bounds = [[0, columns]] * rows if attention_mask is None else attention_mask.tolist()
    if count == 1 and all(start == 0 for start, _ in bounds):
        ends = None if attention_mask is None else attention_mask[:, 1]
        out = _one_query(query, key, value, ends, scale, sliding_window)
    else:
        out = query.new_zeros((*query.shape[:-1], value.shape[-1]))
        for row, (start, end) in enumerate(bounds):
            own = min(count, end - start)  # queries; those before them are padding
            for first in range(0, own, _QUERIES):
                last = min(first + _QUERIES, own)
                at = slice(count - own + first, count - own + last)
                seen = slice(start, end - own + last)
                keys, values = key[row, :, seen], value[row, :, seen]
                out[row, :, :, at] = _queries(
                    query[row, :, :, at], keys, values, scale, sliding_window
                )
    return out.flatten(1, 2).transpose(1, 2), None


def _one_query(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    ends: Tensor | None,
    scale: float,
    window: int | None,
) -> Tensor:
    """One query of each row, [S, K, G, 1, E], of rows that all begin in column 0."""
    rows, kv, groups = query.shape[:3]
    columns = key.shape[2]
    scores = _scores(query.reshape(rows * kv, groups, -1), key.flatten(0, 1), scale)
    if ends is not None or (window is not None and columns > window):
        last = query.new_tensor([columns], dtype=torch.long) if ends is None else ends
        at = torch.arange(scores.shape[-1], device=scores.device)
        hidden = at >= last[:, None]
        if window is not None:
            hidden |= at < last[:, None] - window
        # [S or 1, C] over [S, K x G, C]
        scores.view(rows, -1, scores.shape[-1]).masked_fill_(hidden[:, None], -torch.inf)
    out = torch.bmm(scores.softmax(-1)[..., :columns], value.flatten(0, 1))
    return out[:, :groups].reshape(rows, kv, groups, 1, -1)


def _queries(query: Tensor, key: Tensor, value: Tensor, scale: float, window: int | None) -> Tensor:
    """The last T tokens of one row, [K, G, T, E], of whose C keys each sees those up to its own."""
    kv, groups, count, _ = query.shape
    columns = key.shape[1]
    scores = _scores(query.reshape(kv, groups * count, -1), key, scale)
    at = torch.arange(scores.shape[-1], device=scores.device)
    own = torch.arange(columns - count, columns, device=scores.device)[:, None]
    hidden = at > own
    if window is not None:
        hidden |= at <= own - window
    scores[:, : groups * count].view(kv, groups, count, -1).masked_fill_(hidden, -torch.inf)
    out = torch.bmm(scores.softmax(-1)[..., :columns], value)
    return out[:, : groups * count].reshape(kv, groups, count, -1)


def _scores(query: Tensor, key: Tensor, scale: float) -> Tensor:
    """Scores [B, M, C] of queries [B, M, E], M at least 2 and C a multiple of 32."""
    if query.shape[1] == 1:
        query = query.expand(-1, 2, -1)
    scores = torch.baddbmm(query.new_empty(()), query, key.mT, beta=0, alpha=scale)
    if rest := -key.shape[1] % _LANES:
        scores = F.pad(scores, (0, rest), value=-torch.inf)
    return scores


def _bounds(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int = 0,
    kv_offset: int = 0,
    attention_mask: Tensor | None = None,
    **others: Any,
) -> Tensor | None:
    """The first column of each row and the one behind its last, in place of a mask."""
    if attention_mask is None or bool(attention_mask.all()):
        return None
    width = attention_mask.shape[1]
    real = attention_mask.bool().int()
    starts = real.argmax(1) - kv_offset
    ends = width - real.flip(1).argmax(1) - kv_offset
    return torch.stack([starts.clamp(min=0), ends], 1)


@functools.cache
def _adds_up_alike() -> bool:
    """Try it: tokens at once, in pieces and one by one, in a wider row, and next to another row."""
    dice = torch.Generator().manual_seed(0)
    count, groups, width = 70, 3, 64
    layer = torch.nn.Module()

    def attend(query: Tensor, key: Tensor, value: Tensor, bounds: Any = None) -> Tensor:
        return alike_attention(layer, query, key, value, bounds)[0]

    try:
        with torch.no_grad():
            query = torch.randn(1, 2 * groups, count, width, generator=dice).bfloat16()
            key, value = (
                torch.randn(1, 2, count, width, generator=dice).bfloat16() for _ in range(2)
            )
            whole = attend(query, key, value)
            pieces = [
                attend(query[:, :, at:to], key[:, :, :to], value[:, :, :to])
                for at, to in [(0, 33), (33, 34), (34, count)]
            ]
            wide = torch.cat([key, key], 2), torch.cat([value, value], 2)
            bounds = torch.tensor([[0, count], [0, 2 * count]])
            last, keys, values = (torch.cat([each, each]) for each in (query[:, :, -1:], *wide))
            together = attend(last, keys, values, bounds)
    except RuntimeError:  # no such product in bf16
        return False
    return torch.equal(whole, torch.cat(pieces, 1)) and torch.equal(whole[:, -1], together[0])


AttentionInterface.register(NAME, alike_attention)
AttentionMaskInterface.register(NAME, _bounds)
