"""DeepSeekMoE 16B: Llama's attention, DeepSeek-V2's experts."""

from __future__ import annotations

from typing import Any

from transformers import LlamaConfig, LlamaForCausalLM
from transformers.conversion_mapping import get_checkpoint_conversion_mapping
from transformers.models.deepseek_v2.modeling_deepseek_v2 import DeepseekV2Moe

from xtune.models.families.architectures.conversions import converts

__all__ = ["DeepSeekMoeForCausalLM"]


# Joined as transformers joins those of every family whose experts have these names
@converts(*get_checkpoint_conversion_mapping("qwen2_moe"))
class DeepSeekMoeForCausalLM(LlamaForCausalLM):
    """Llama with experts from layer `first_k_dense_replace` on."""

    _keys_to_ignore_on_load_unexpected = [r"rotary_emb\.inv_freq"]

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__(config)
        experts: Any = config  # has what DeepSeek-V2's experts ask for; see `DeepSeekMoe.config`
        for layer in self.model.layers[experts.first_k_dense_replace :]:
            layer.mlp = DeepseekV2Moe(experts)
