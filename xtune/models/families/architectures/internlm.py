"""InternLM 1, on Llama."""

from __future__ import annotations

from typing import Any

from transformers import LlamaConfig, LlamaForCausalLM

from xtune.models.families.architectures.conversions import converts
from xtune.models.families.architectures.dynamic_rope import DynamicRotaryEmbedding

__all__ = ["InternLMForCausalLM"]


@converts()
class InternLMForCausalLM(LlamaForCausalLM):
    """InternLM 1; its weights have Llama's names already."""

    _keys_to_ignore_on_load_unexpected = [r"rotary_emb\.inv_freq"]  # stored, but computed here

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__(config)
        rope: Any = config.rope_parameters
        if rope["rope_type"] == "dynamic":
            self.model.rotary_emb = DynamicRotaryEmbedding(config)
