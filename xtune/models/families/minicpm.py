"""MiniCPM 1B and 2B: Llama with scaled embeddings, residuals and logits, as Granite has them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xtune.errors import ModelError
from xtune.models.families.base import Family
from xtune.models.families.files import CheckpointFiles
from xtune.models.families.sentencepiece_tokenizer import sentencepiece_tokenizer
from xtune.registry import FAMILIES

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

__all__ = ["MiniCPM"]


@FAMILIES.register_module()
class MiniCPM(Family):
    """MiniCPM, dense, of the first and second generation."""

    title = "MiniCPM 1B, 2B (dense)"
    published = ("openbmb/MiniCPM-2B-sft-bf16", "openbmb/MiniCPM-1B-sft-bf16")
    model_types = ("minicpm",)
    loaded_as = "Granite"
    original_files = (
        "tokenizer.model",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "configuration_minicpm.py",
        "modeling_minicpm.py",
    )

    def config(self, fields: Mapping[str, Any]) -> PretrainedConfig:
        """Translate (Hu et al. 2024, section 3, the scalings of maximal update parametrisation).

        Raises:
            ModelError: a mixture of experts, or scaled frequencies.
        """
        from transformers import GraniteConfig

        for name in ("num_experts", "rope_scaling"):
            if fields.get(name):
                raise ModelError(
                    f"MiniCPM with {name}={fields[name]!r} is not supported; the dense models of "
                    "1B and 2B are"
                )
        heads = fields["num_attention_heads"]
        width = fields["hidden_size"]
        layers = fields["num_hidden_layers"]
        return GraniteConfig(
            vocab_size=fields["vocab_size"],
            hidden_size=width,
            intermediate_size=fields["intermediate_size"],
            num_hidden_layers=layers,
            num_attention_heads=heads,
            num_key_value_heads=fields.get("num_key_value_heads", heads),
            hidden_act=fields.get("hidden_act", "silu"),
            max_position_embeddings=fields["max_position_embeddings"],
            rms_norm_eps=fields["rms_norm_eps"],
            attention_bias=fields.get("attention_bias", False),
            attention_multiplier=(width // heads) ** -0.5,
            embedding_multiplier=fields.get("scale_emb", 1),
            residual_multiplier=fields.get("scale_depth", layers**0.5) / layers**0.5,
            logits_scaling=width / fields.get("dim_model_base", width),
            rope_parameters={"rope_type": "default", "rope_theta": fields.get("rope_theta", 1e4)},
            tie_word_embeddings=fields.get("tie_word_embeddings", True),
            bos_token_id=fields.get("bos_token_id"),
            eos_token_id=fields.get("eos_token_id"),
            pad_token_id=fields.get("pad_token_id"),
        )

    def model_class(self, config: PretrainedConfig) -> type[PreTrainedModel]:
        """Always the one class."""
        from xtune.models.families.architectures.minicpm import MiniCPMForCausalLM

        return MiniCPMForCausalLM

    def tokenizer(self, files: CheckpointFiles) -> Any:
        """From tokenizer.json if there is one, else from tokenizer.model."""
        if files.path("tokenizer.json"):
            return None
        return sentencepiece_tokenizer(files, adds_bos=True)
