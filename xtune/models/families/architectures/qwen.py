"""Qwen of the first generation, on Qwen2."""

from __future__ import annotations

from typing import Any

from transformers import Qwen2ForCausalLM
from transformers.core_model_loading import Chunk, WeightConverter, WeightRenaming

from xtune.models.families.architectures.conversions import converts
from xtune.models.families.architectures.qwen_long import LognAttention, NtkModel

__all__ = ["QwenForCausalLM"]

_QKV = [f".self_attn.{name}_proj." for name in "qkv"]


@converts(
    WeightRenaming(r"^transformer\.wte\.", "model.embed_tokens."),
    WeightRenaming(r"^transformer\.ln_f\.", "model.norm."),
    WeightRenaming(r"^transformer\.h\.", "model.layers."),
    WeightRenaming(r"\.ln_1\.", ".input_layernorm."),
    WeightRenaming(r"\.ln_2\.", ".post_attention_layernorm."),
    WeightRenaming(r"\.attn\.c_proj\.", ".self_attn.o_proj."),
    WeightRenaming(r"\.mlp\.w1\.", ".mlp.up_proj."),
    WeightRenaming(r"\.mlp\.w2\.", ".mlp.gate_proj."),  # w1(x) * silu(w2(x))
    WeightRenaming(r"\.mlp\.c_proj\.", ".mlp.down_proj."),
    WeightConverter(".attn.c_attn.", _QKV, operations=[Chunk(dim=0)]),
)
class QwenForCausalLM(Qwen2ForCausalLM):
    """Qwen 1.8B, 7B, 14B and 72B of the first generation."""

    _keys_to_ignore_on_load_unexpected = [r"rotary_emb\.inv_freq"]

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        if config.use_dynamic_ntk:
            self.model = NtkModel(config)
        if config.use_logn_attn:
            for index, layer in enumerate(self.model.layers):
                layer.self_attn = LognAttention(config, index)
