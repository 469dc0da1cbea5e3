"""InternLM 3, on Llama."""

from __future__ import annotations

from typing import Any

from transformers import LlamaConfig, LlamaForCausalLM

from xtune.models.families.architectures.conversions import converts
from xtune.models.families.architectures.dynamic_rope import DynamicRotaryEmbedding

__all__ = ["InternLM3ForCausalLM"]


@converts()
class InternLM3ForCausalLM(LlamaForCausalLM):
    """InternLM 3; its weights have Llama's names already."""

    _keys_to_ignore_on_load_unexpected = [r"rotary_emb\.inv_freq"]

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__(config)
        rope: Any = config.rope_parameters
        if rope["rope_type"] == "dynamic":
            self.model.rotary_emb = DynamicRotaryEmbedding(config)
