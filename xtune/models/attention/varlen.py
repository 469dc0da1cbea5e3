"""The attention function registered with transformers: it chooses a kernel, checks, refuses.

Shapes: T tokens of the row, L of one document, H query heads, K key and value heads, E head width.

A model whose attention is set to `xtune_varlen` keeps its own forward pass; only the function
between its projections is ours. It takes the boundaries from the batch, so that no mask of size
T x T exists, and runs, in this order of preference:

    flash-attn's varlen kernel      GPU, fp16 or bf16, if flash-attn is installed
    torch's varlen_attn             GPU of compute capability 8 and above, fp16 or bf16
    flex attention                  the same GPUs, if scores are capped or fall with distance
    documents side by side          CPU, bf16, if scores do not fall with distance and no document
                                    is longer than the window
    SDPA, document by document      everything else

Where several processes share the row, each has some of the heads; see by_heads.py.

A family that cannot be run so keeps its own attention and sees one document at a time; see
`why_not_one_row`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, PreTrainedModel
from transformers.masking_utils import AttentionMaskInterface

from xtune.errors import ModelError
from xtune.losses.devices import runs_on_cpu
from xtune.models.attention.by_document import attend_by_document
from xtune.models.attention.by_heads import to_heads, to_slices
from xtune.models.attention.gpu_kernels import (
    Row,
    attend_flash_attn,
    attend_flex,
    attend_torch_varlen,
    has_flash_attn,
    has_flex,
    has_torch_varlen,
)
from xtune.models.attention.handed_on import layers_that_keep_boundaries
from xtune.models.attention.side_by_side import attend_side_by_side, sort_by_length
from xtune.models.attention.unfolding import Unfolding
from xtune.parallel.sequence import SequenceGroup
from xtune.parallel.slices import BatchSlice
from xtune.structures import Batch

__all__ = [
    "NAME",
    "caps_scores",
    "has_capping_kernels",
    "kernel_for",
    "varlen_arguments",
    "varlen_attention",
    "why_not_one_row",
]

NAME = "xtune_varlen"
_LAYERS = {
    "full_attention",
    "sliding_attention",
}  # of config.layer_types, those that are right here


def caps_scores(llm: PreTrainedModel) -> bool:
    """Return whether a model caps its attention scores, as Gemma 2 does."""
    return bool(getattr(llm.config.get_text_config(), "attn_logit_softcapping", None))


def has_capping_kernels(device: torch.device) -> bool:
    """Return whether a kernel for packed rows that caps attention scores is there for a device."""
    return device.type == "cuda" and (has_flash_attn() or has_flex(device))


def why_not_one_row(llm: PreTrainedModel, *, kernels: bool | None = None) -> str | None:
    """Say why documents must not be given to `llm` end to end; None if they may be.

    They may where attention is all that mixes tokens, and where it is called through
    transformers' AttentionInterface and is of a kind that `varlen_attention` computes.

    Args:
        llm: the model, anywhere.
        kernels: whether a kernel is there that caps attention scores, as GPUs have them; None: of
            the model's own device.
    """
    config = llm.config.get_text_config()
    if kernels is None:
        kernels = has_capping_kernels(llm.device)
    if caps_scores(llm) and not kernels:
        return "it caps its attention scores, which for packed rows only kernels for GPUs do"
    others = set(getattr(config, "layer_types", None) or ()) - _LAYERS
    if others or getattr(llm, "_is_stateful", False):
        names = ", ".join(sorted(others)) or "recurrent"
        return f"its layers carry state from token to token ({names})"
    if any(name.endswith(".sinks") for name, _ in llm.named_parameters()):
        return "its attention has sinks"
    if not llm._can_set_attn_implementation():
        return "it does not take its attention from transformers' AttentionInterface"
    if keeping := layers_that_keep_boundaries(llm):
        return f"{', '.join(keeping)} does not hand the documents' boundaries on to its attention"
    return None


def kernel_for(
    device: torch.device, dtype: torch.dtype, *, plain: bool = True, dropout: float = 0.0
) -> str:
    """Return which kernel is used, by its name in the log: 'flash-attn', 'torch varlen' …

    Args:
        device: of the queries.
        dtype: of the queries.
        plain: whether scores are neither capped nor changed by distance.
        dropout: probability of dropping an attention weight.
    """
    if device.type == "cuda" and dtype in (torch.float16, torch.bfloat16):
        if has_flash_attn():
            return "flash-attn"
        if plain and not dropout and has_torch_varlen(device):
            return "torch varlen"
        if not plain and not dropout and has_flex(device):
            return "flex"
    if device.type == "cpu" and dtype == torch.bfloat16 and plain and not dropout:
        return "documents side by side"
    return "sdpa by document"


def varlen_arguments(batch: Batch) -> dict[str, Any]:
    """Return what a model with this attention must be called with, besides ids and positions.

    The names are those of transformers' FlashAttentionKwargs; `document_lengths` is ours and is
    taken from the device once a batch, not once a layer, as `blocks_of_row` are made once. With a
    slice of a row comes `sequence_group`: who has the others.
    """
    shared = {"sequence_group": batch.group} if isinstance(batch, BatchSlice) else {}
    return shared | {
        "cu_seq_lens_q": batch.cu_seqlens,
        "cu_seq_lens_k": batch.cu_seqlens,
        "max_length_q": batch.max_seqlen,
        "max_length_k": batch.max_seqlen,
        "document_lengths": batch.cu_seqlens.diff().tolist(),
        "blocks_of_row": {},
    }


def varlen_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    alibi_slopes: Tensor | None = None,
    document_lengths: list[int] | None = None,
    cu_seq_lens_q: Tensor | None = None,
    max_length_q: int | None = None,
    sequence_group: SequenceGroup | None = None,
    blocks_of_row: dict[int | None, Any] | None = None,
    unfolding: Unfolding | None = None,
    **others: Any,
) -> tuple[Tensor, None]:
    """Causal attention within each document.

    Args:
        module: the attention layer that calls.
        query: [1, H, T, E]; a slice of T, as key and value, with a `sequence_group`.
        key: [1, K, T, E]; each serves H / K query heads.
        value: [1, K, T, E].
        attention_mask: must be None.
        dropout: probability of dropping an attention weight.
        scaling: of the scores; default 1 / sqrt(E).
        sliding_window: a token sees itself and the `sliding_window - 1` before it.
        softcap: bound of the scores; flash-attn and flex attention only.
        alibi_slopes: fp32 [H]; each head's scores fall by slope x distance.
        document_lengths: L of each document; they sum to T.
        cu_seq_lens_q: int32 [documents + 1].
        max_length_q: the longest L.
        sequence_group: the processes that share the row; all must call this.
        blocks_of_row: window -> flex attention's blocks, or None -> which documents go side by
            side; the layers share them, and the first one makes them.
        unfolding: the row is not the documents: it has what they share once. T is the row's then.
        others: what families pass that changes nothing here, or is refused.

    Returns:
        [1, T, H, E], and None for the attention weights.

    Raises:
        ModelError: called without boundaries or with a mask; a kind of attention that
            `why_not_one_row` should have told.
    """
    if (
        document_lengths is None
        or cu_seq_lens_q is None
        or max_length_q is None
        or attention_mask is not None
    ):
        raise ModelError(
            "this model is set up for training on packed documents and was called without their "
            "boundaries; to run it on plain inputs use: with xtune.models.generation_mode(llm)"
        )
    for name in ("s_aux", "position_bias"):
        if others.get(name) is not None:
            raise ModelError(
                f"{type(module).__name__} uses {name!r}, which packed training does not support. "
                "Please report the family"
            )
    if sequence_group is not None:
        query, key, value = to_heads(query, key, value, sequence_group)
        if alibi_slopes is not None:
            alibi_slopes = alibi_slopes.chunk(sequence_group.size)[sequence_group.rank]
    if unfolding is not None:
        query, key, value = map(unfolding.of_documents, (query, key, value))
    out = _attend(
        module,
        query,
        key,
        value,
        row=Row(cu_seq_lens_q, max_length_q, sliding_window),
        document_lengths=document_lengths,
        dropout=dropout,
        scaling=scaling,
        softcap=softcap,
        alibi_slopes=alibi_slopes,
        blocks_of_row={} if blocks_of_row is None else blocks_of_row,
        shared=None if unfolding is None else unfolding.shared,
    )
    if unfolding is not None:
        out = unfolding.of_row(out)
    return (out if sequence_group is None else to_slices(out, sequence_group)), None


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    row: Row,
    document_lengths: list[int],
    dropout: float,
    scaling: float | None,
    softcap: float | None,
    alibi_slopes: Tensor | None,
    blocks_of_row: dict[int | None, Any],
    shared: list[int] | None,
) -> Tensor:
    """Choose a kernel; to [1, T, H, E]. What documents have from others may be left out of it."""
    plain = softcap is None and alibi_slopes is None
    device = query.device.type
    if device == "cpu" and torch.is_autocast_enabled(device):  # as it would cast for the kernel
        dtype = torch.get_autocast_dtype(device)
        query, key, value = (states.to(dtype) for states in (query, key, value))
    kernel = kernel_for(query.device, query.dtype, plain=plain, dropout=dropout)
    if kernel == "flash-attn":
        return attend_flash_attn(
            query,
            key,
            value,
            row,
            dropout=dropout,
            scaling=scaling,
            softcap=softcap,
            alibi_slopes=alibi_slopes,
        )
    if kernel == "torch varlen":
        return attend_torch_varlen(query, key, value, row, scaling=scaling)
    if kernel == "flex":
        return attend_flex(
            query,
            key,
            value,
            row,
            scaling=scaling,
            softcap=softcap,
            alibi_slopes=alibi_slopes,
            blocks_of_row=blocks_of_row,
        )
    if softcap is not None:
        raise ModelError(
            f"{type(module).__name__} caps its attention scores, which needs a GPU in bf16 "
            "or fp16, with flash-attn or of compute capability 8 and above"
        )
    within_window = row.window is None or row.longest <= row.window
    if kernel == "documents side by side" and within_window and runs_on_cpu(query):
        if None not in blocks_of_row:
            blocks_of_row[None] = sort_by_length(document_lengths, shared)
        return attend_side_by_side(query, key, value, blocks_of_row[None], scaling=scaling)
    return attend_by_document(
        query,
        key,
        value,
        lengths=document_lengths,
        window=row.window,
        dropout=dropout,
        scaling=scaling,
        alibi_slopes=alibi_slopes,
        shared=shared,
    )


def _no_mask(*args: Any, **kwargs: Any) -> None:
    """Boundaries stand in for the mask that transformers would build."""


AttentionInterface.register(NAME, varlen_attention)
AttentionMaskInterface.register(NAME, _no_mask)
