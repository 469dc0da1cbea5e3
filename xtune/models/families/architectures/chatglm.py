"""ChatGLM2, ChatGLM3 and GLM-4-9B, on GLM."""

from __future__ import annotations

from transformers import GlmForCausalLM
from transformers.core_model_loading import (
    Split,
    WeightConverter,
    WeightRenaming,
)

from xtune.models.families.architectures.conversions import converts

__all__ = ["ChatGLMForCausalLM"]

_QKV = [f".self_attn.{name}_proj." for name in "qkv"]


@converts(
    WeightRenaming(r"^transformer\.embedding\.word_embeddings\.", "model.embed_tokens."),
    WeightRenaming(r"^transformer\.output_layer\.", "lm_head."),
    WeightRenaming(r"^transformer\.encoder\.final_layernorm\.", "model.norm."),
    WeightRenaming(r"^transformer\.encoder\.layers\.", "model.layers."),
    WeightRenaming(r"\.self_attention\.dense\.", ".self_attn.o_proj."),
    WeightRenaming(r"\.mlp\.dense_h_to_4h\.", ".mlp.gate_up_proj."),
    WeightRenaming(r"\.mlp\.dense_4h_to_h\.", ".mlp.down_proj."),
    # [all query heads | key groups | value groups]
    WeightConverter(".self_attention.query_key_value.", _QKV, operations=[Split(dim=0)]),
)
class ChatGLMForCausalLM(GlmForCausalLM):
    """ChatGLM2, ChatGLM3 and GLM-4-9B."""

    _keys_to_ignore_on_load_unexpected = [r"rotary_pos_emb\.inv_freq"]
