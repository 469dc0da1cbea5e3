"""InternLM 2 and 2.5: Llama with grouped queries, under other names and with q, k, v fused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.core_model_loading import ConversionOps, WeightConverter, WeightRenaming

from xtune.models.families.base import Family, converts
from xtune.models.families.dynamic_rope import DynamicRotaryEmbedding, rope_parameters
from xtune.models.families.files import CheckpointFiles
from xtune.models.families.llama_like import llama_config
from xtune.models.families.sentencepiece_tokenizer import sentencepiece_tokenizer
from xtune.registry import FAMILIES

__all__ = ["InternLM2", "InternLM2ForCausalLM"]

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
        """Split one fused weight or bias."""
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
        """Fuse q, k and v."""
        import torch

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


@FAMILIES.register_module()
class InternLM2(Family):
    """InternLM 2 and 2.5."""

    title = "InternLM2, InternLM2.5"
    published = ("internlm/internlm2-7b", "internlm/internlm2-chat-20b", "internlm/internlm2_5-7b")
    model_types = ("internlm2",)
    loaded_as = "Llama"
    original_files = (
        "tokenizer.model",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "configuration_internlm2.py",
        "modeling_internlm2.py",
        "tokenization_internlm2.py",
        "tokenization_internlm2_fast.py",
    )
    differences = (
        "With dynamic scaling (InternLM2.5) the original keeps the frequencies of the longest row "
        "it has seen; here a row's logits do not depend on earlier rows.",
        "Saved in the transformers layout, rows beyond the trained length are scaled by "
        "transformers' own rule, which keeps them too.",
    )

    def config(self, fields: Mapping[str, Any]) -> PretrainedConfig:
        """Translate; `bias` is that of wqkv and wo."""
        return llama_config(
            fields,
            attention_bias=fields.get("bias", False),
            rope_parameters=rope_parameters(fields, "InternLM2", default_base=1000000.0),
        )

    def model_class(self, config: PretrainedConfig) -> type[PreTrainedModel]:
        """Always the one class."""
        return InternLM2ForCausalLM

    def tokenizer(self, files: CheckpointFiles) -> Any:
        """From tokenizer.model."""
        return sentencepiece_tokenizer(files, adds_bos=True)
