"""InternLM 2 and 2.5, on Llama: one matrix of q, k and v is taken apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PretrainedConfig
from transformers.core_model_loading import ConversionOps, WeightConverter, WeightRenaming

from xtune.models.families.architectures.conversions import converts
from xtune.models.families.architectures.dynamic_rope import DynamicRotaryEmbedding

__all__ = ["InternLM2ForCausalLM"]

_QKV = [f".self_attn.{name}_proj." for name in "qkv"]


class SplitGroups(ConversionOps):
    """Take q, k and v out of a matrix whose rows are grouped by key head.

    wqkv   [q q k v | q q k v]   two key heads, each with two query heads, E rows a piece
    """

    def convert(
        self,
        input_dict: dict[str, Any],
        source_patterns: list[str],
        target_patterns: list[str],
        **context: Any,
    ) -> dict[str, Any]:
        """Split one fused weight or bias.

        Args: as transformers' ConversionOps.convert.
        """
        fused = _only(input_dict)
        groups, queries, width = _grouping(context["config"])
        pieces = fused.view(groups, queries + 2, width, *fused.shape[1:])
        parts = pieces[:, :queries], pieces[:, queries], pieces[:, queries + 1]
        rows = (part.reshape(-1, *fused.shape[1:]).contiguous() for part in parts)
        return dict(zip(target_patterns, rows, strict=True))

    @property
    def reverse_op(self) -> ConversionOps:
        """Fuse again."""
        return FuseGroups()


class FuseGroups(ConversionOps):
    """Undo SplitGroups."""

    def convert(
        self,
        input_dict: dict[str, Any],
        source_patterns: list[str],
        target_patterns: list[str],
        **context: Any,
    ) -> dict[str, Any]:
        """Fuse q, k and v.

        Args: as transformers' ConversionOps.convert.
        """
        groups, _, width = _grouping(context["config"])
        parts = [_only({name: input_dict[name]}) for name in source_patterns]
        pieces = [part.view(groups, -1, width, *part.shape[1:]) for part in parts]
        return {target_patterns[0]: torch.cat(pieces, dim=1).reshape(-1, *parts[0].shape[1:])}

    @property
    def reverse_op(self) -> ConversionOps:
        """Split again."""
        return SplitGroups()


def _only(tensors: Mapping[str, Any]) -> Tensor:
    (tensor,) = tensors.values()
    return tensor[0] if isinstance(tensor, list) else tensor


def _grouping(config: PretrainedConfig) -> tuple[int, int, int]:
    """Key heads, query heads of each, width of a head."""
    groups = config.num_key_value_heads
    return groups, config.num_attention_heads // groups, config.head_dim


@converts(
    WeightRenaming(r"^model\.tok_embeddings\.", "model.embed_tokens."),
    WeightRenaming(r"^output\.", "lm_head."),
    WeightRenaming(r"\.attention_norm\.", ".input_layernorm."),
    WeightRenaming(r"\.ffn_norm\.", ".post_attention_layernorm."),
    WeightRenaming(r"\.feed_forward\.w1\.", ".mlp.gate_proj."),
    WeightRenaming(r"\.feed_forward\.w3\.", ".mlp.up_proj."),
    WeightRenaming(r"\.feed_forward\.w2\.", ".mlp.down_proj."),
    WeightRenaming(r"\.attention\.wo\.", ".self_attn.o_proj."),
    WeightConverter(".attention.wqkv.", _QKV, operations=[SplitGroups()]),
)
class InternLM2ForCausalLM(LlamaForCausalLM):
    """InternLM 2; with dynamic scaling, each document's frequencies depend on its own length."""

    _keys_to_ignore_on_load_unexpected = [r"rotary_emb\.inv_freq"]

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__(config)
        rope: Any = config.rope_parameters
        if rope["rope_type"] == "dynamic":
            self.model.rotary_emb = DynamicRotaryEmbedding(config)
