"""ChatGLM2, ChatGLM3 and GLM-4-9B in their own layout: transformers' GLM under other names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xtune.errors import ModelError
from xtune.models.families.base import Family
from xtune.models.families.files import CheckpointFiles
from xtune.models.families.sentencepiece_tokenizer import chatglm_tokenizer
from xtune.models.families.tiktoken_tokenizer import glm4_tokenizer
from xtune.registry import FAMILIES

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

__all__ = ["ChatGLM"]

# What the published configs say, and the only values that GLM computes
_REQUIRED = {
    "rmsnorm": True,
    "post_layer_norm": True,
    "apply_residual_connection_post_layernorm": False,
    "add_bias_linear": False,
    "add_qkv_bias": True,
    "original_rope": True,
    "pre_seq_len": None,
    "quantization_bit": 0,
}


@FAMILIES.register_module()
class ChatGLM(Family):
    """ChatGLM2, ChatGLM3, GLM-4-9B as first published."""

    title = "ChatGLM2, ChatGLM3, GLM-4-9B (the layout of model_type chatglm)"
    published = (
        "THUDM/chatglm2-6b",
        "THUDM/chatglm3-6b",
        "THUDM/chatglm3-6b-base",
        "THUDM/glm-4-9b",
        "THUDM/glm-4-9b-chat",
    )
    model_types = ("chatglm",)
    loaded_as = "GLM"
    original_files = (
        "tokenizer.model",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "configuration_chatglm.py",
        "modeling_chatglm.py",
        "tokenization_chatglm.py",
        "quantization.py",
    )
    knows_how_ranks_split = True  # GLM-4's
    differences = (
        "'<|user|>' and the other special tokens in a text become their ids; the original composes "
        "dialogues from ids and reads them in a text as plain characters.",
    )

    def config(self, fields: Mapping[str, Any]) -> PretrainedConfig:
        """Translate; only the first half of each head is rotated, in interleaved pairs.

        Raises:
            ModelError: ChatGLM-6B (the first one), or a setting that GLM does not compute.
        """
        from transformers import GlmConfig

        if "padded_vocab_size" not in fields or "ffn_hidden_size" not in fields:
            raise ModelError(
                "this is ChatGLM-6B, the first generation, whose attention is not causal over the "
                "prompt; ChatGLM2, ChatGLM3 and GLM-4 are supported"
            )
        for name, value in _REQUIRED.items():
            if fields.get(name, value) != value:
                raise ModelError(
                    f"config.json sets {name} to {fields[name]!r}, which is not supported; the "
                    f"published checkpoints have {value!r}"
                )
        heads = fields["num_attention_heads"]
        grouped = fields.get("multi_query_attention", False)
        return GlmConfig(
            vocab_size=fields["padded_vocab_size"],
            hidden_size=fields["hidden_size"],
            intermediate_size=fields["ffn_hidden_size"],
            num_hidden_layers=fields["num_layers"],
            num_attention_heads=heads,
            num_key_value_heads=fields["multi_query_group_num"] if grouped else heads,
            head_dim=fields["kv_channels"],
            hidden_act="silu",
            attention_bias=True,
            attention_dropout=fields.get("attention_dropout", 0.0),
            max_position_embeddings=fields["seq_length"],
            rms_norm_eps=fields["layernorm_epsilon"],
            rope_parameters={
                "rope_type": "default",
                "rope_theta": 10000.0 * fields.get("rope_ratio", 1.0),
                "partial_rotary_factor": 0.5,
            },
            tie_word_embeddings=fields.get("tie_word_embeddings", False),
            bos_token_id=fields.get("bos_token_id"),
            eos_token_id=fields.get("eos_token_id"),
            pad_token_id=fields.get("pad_token_id"),
        )

    def model_class(self, config: PretrainedConfig) -> type[PreTrainedModel]:
        """Always the one class."""
        from xtune.models.families.architectures.chatglm import ChatGLMForCausalLM

        return ChatGLMForCausalLM

    def tokenizer(self, files: CheckpointFiles) -> Any:
        """From tokenizer.model: GLM-4's is a rank file, the others' is SentencePiece's."""
        if files.json("tokenizer_config.json").get("tokenizer_class") == "ChatGLM4Tokenizer":
            return glm4_tokenizer(files)
        return chatglm_tokenizer(files)

    def original_fields(
        self, config: PretrainedConfig, fields: Mapping[str, Any]
    ) -> dict[str, Any]:
        """The vocabulary is called padded_vocab_size.

        Args: as `Family.original_fields`.
        """
        return {**fields, "padded_vocab_size": config.vocab_size}
