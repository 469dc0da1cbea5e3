"""Qwen, the first generation: Qwen2 under other names and with q, k, v in one matrix."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xtune.errors import ModelError
from xtune.models.families.base import Family
from xtune.models.families.files import CheckpointFiles
from xtune.models.families.tiktoken_tokenizer import qwen_tokenizer
from xtune.registry import FAMILIES

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

__all__ = ["Qwen"]

_REQUIRED = {
    "rotary_pct": 1.0,
    "no_bias": True,
    "scale_attn_weights": True,
    "emb_dropout_prob": 0.0,
    "use_cache_quantization": False,
}


@FAMILIES.register_module()
class Qwen(Family):
    """Qwen, first generation."""

    title = "Qwen (the first generation)"
    published = ("Qwen/Qwen-1_8B", "Qwen/Qwen-7B", "Qwen/Qwen-7B-Chat", "Qwen/Qwen-14B")
    model_types = ("qwen",)
    loaded_as = "Qwen2"
    original_files = (
        "qwen.tiktoken",
        "tokenizer_config.json",
        "configuration_qwen.py",
        "modeling_qwen.py",
        "tokenization_qwen.py",
        "qwen_generation_utils.py",
        "cpp_kernels.py",
    )
    differences = (
        "The original counts a left-padded row's padding in use_logn_attn's positions; here a "
        "padded row is computed as it is alone.",
        "In the transformers layout use_dynamic_ntk and use_logn_attn, which begin beyond "
        "seq_length (2,048 to 32,768 tokens), have no place; the original layout keeps them.",
    )

    def config(self, fields: Mapping[str, Any]) -> PretrainedConfig:
        """Translate; the MLP is half as wide as intermediate_size says.

        Raises:
            ModelError: a setting that Qwen2 does not compute.
        """
        from transformers import Qwen2Config

        width = fields["hidden_size"] // fields["num_attention_heads"]
        for name, value in {**_REQUIRED, "kv_channels": width}.items():
            if fields.get(name, value) != value:
                raise ModelError(
                    f"config.json sets {name} to {fields[name]!r}, which is not supported; the "
                    f"published checkpoints have {value!r}"
                )
        dynamic = fields.get("use_dynamic_ntk", True)  # as the original's class has it
        context = fields["max_position_embeddings"] if dynamic else fields["seq_length"]
        architecture: Any = Qwen2Config  # takes what qwen_long.py needs, besides its own
        return architecture(
            seq_length=fields["seq_length"],
            use_dynamic_ntk=dynamic,
            use_logn_attn=fields.get("use_logn_attn", True),
            vocab_size=fields["vocab_size"],
            hidden_size=fields["hidden_size"],
            intermediate_size=fields["intermediate_size"] // 2,
            num_hidden_layers=fields["num_hidden_layers"],
            num_attention_heads=fields["num_attention_heads"],
            num_key_value_heads=fields["num_attention_heads"],
            max_position_embeddings=context,
            attention_dropout=fields.get("attn_dropout_prob", 0.0),
            rms_norm_eps=fields["layer_norm_epsilon"],
            initializer_range=fields.get("initializer_range", 0.02),
            rope_parameters={
                "rope_type": "default",
                "rope_theta": float(fields.get("rotary_emb_base", 10000)),
            },
            tie_word_embeddings=fields.get("tie_word_embeddings", False),
            # config.json names none; the documents that it was trained on end with this one
            bos_token_id=fields.get("bos_token_id"),
            eos_token_id=fields.get("eos_token_id"),
        )

    def model_class(self, config: PretrainedConfig) -> type[PreTrainedModel]:
        """Always the one class."""
        from xtune.models.families.architectures.qwen import QwenForCausalLM

        return QwenForCausalLM

    def tokenizer(self, files: CheckpointFiles) -> Any:
        """From qwen.tiktoken."""
        return qwen_tokenizer(files)
