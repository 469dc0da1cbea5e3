"""InternLM 3: Llama, or Qwen2 where only q, k and v have biases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import (
    LlamaForCausalLM,
    PretrainedConfig,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from xtune.errors import ModelError
from xtune.models.families.base import Family, converts
from xtune.models.families.dynamic_rope import DynamicRotaryEmbedding, rope_parameters
from xtune.models.families.llama_like import llama_config
from xtune.registry import FAMILIES

__all__ = ["InternLM3", "InternLM3BiasedForCausalLM", "InternLM3ForCausalLM"]


@converts()
class InternLM3ForCausalLM(LlamaForCausalLM):
    """InternLM 3; its weights have Llama's names already."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        if config.rope_parameters["rope_type"] == "dynamic":
            self.model.rotary_emb = DynamicRotaryEmbedding(config)


@converts()
class InternLM3BiasedForCausalLM(Qwen2ForCausalLM):
    """InternLM 3 with biases on q, k and v and on nothing else, which Llama cannot have."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        if config.rope_parameters["rope_type"] == "dynamic":
            self.model.rotary_emb = DynamicRotaryEmbedding(config)


@FAMILIES.register_module()
class InternLM3(Family):
    """InternLM 3.

    transformers knows the name too, for its Llama. It then scales by one length for a whole row
    of documents and keeps the frequencies of the longest row, and it has no separate qkv_bias.
    """

    title = "InternLM3"
    published = ("internlm/internlm3-8b-instruct",)
    model_types = ("internlm3",)
    loaded_as = "Llama"
    original_files = (
        "tokenizer.model",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "configuration_internlm3.py",
        "modeling_internlm3.py",
        "tokenization_internlm3.py",
    )
    differences = (
        "The original keeps the scaled frequencies of the longest row it has seen until a row "
        "within the trained length comes; here a row's logits do not depend on earlier rows. "
        "transformers' rule, which the transformers layout follows, is the original's.",
    )

    def config(self, fields: Mapping[str, Any]) -> PretrainedConfig:
        """Translate; `qkv_bias` is that of q, k and v, `bias` that of every other linear layer.

        Raises:
            ModelError: `bias` without `qkv_bias`, or an unknown kind of rope_scaling.
        """
        rope = rope_parameters(fields, "InternLM3", default_base=10000.0)
        bias, qkv_bias = fields.get("bias", False), fields.get("qkv_bias", False)
        if bias and not qkv_bias:
            raise ModelError(
                "config.json sets bias, but not qkv_bias: no supported architecture has biases on "
                "o and the MLP alone. Published checkpoints have neither"
            )
        llama = llama_config(fields, rope_parameters=rope, attention_bias=bias, mlp_bias=bias)
        if bias == qkv_bias:
            return llama
        same = (
            *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers"),
            *("num_attention_heads", "num_key_value_heads", "head_dim", "hidden_act"),
            *("max_position_embeddings", "initializer_range", "rms_norm_eps", "rope_parameters"),
            *("tie_word_embeddings", "bos_token_id", "eos_token_id", "pad_token_id"),
        )
        return Qwen2Config(**{name: getattr(llama, name) for name in same})

    def model_class(self, config: PretrainedConfig) -> type[PreTrainedModel]:
        """By the architecture that `config` chose."""
        if config.model_type == "qwen2":
            return InternLM3BiasedForCausalLM
        return InternLM3ForCausalLM
