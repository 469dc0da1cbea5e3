"""InternLM 3: Llama with heads of a width of their own and dynamic frequencies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xtune.errors import ModelError
from xtune.models.families.base import Family
from xtune.models.families.files import CheckpointFiles
from xtune.models.families.llama_like import llama_config, rope_parameters
from xtune.models.families.sentencepiece_tokenizer import sentencepiece_tokenizer
from xtune.registry import FAMILIES

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

__all__ = ["InternLM3"]


@FAMILIES.register_module()
class InternLM3(Family):
    """InternLM 3."""

    title = "InternLM3"
    published = ("internlm/internlm3-8b-instruct",)
    model_types = ("internlm3",)  # transformers' Llama too, with its own dynamic frequencies
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
        "With dynamic scaling the original keeps the frequencies of the longest row it has seen; "
        "here a row's logits do not depend on earlier rows. Saved in the transformers layout, "
        "longer rows follow transformers' own rule, which keeps them too.",
    )

    def config(self, fields: Mapping[str, Any]) -> PretrainedConfig:
        """Translate; `bias` is that of o and the MLP, `qkv_bias` that of q, k and v.

        Raises:
            ModelError: one of the two biases alone, which Llama does not have.
        """
        bias = fields.get("bias", False)
        if fields.get("qkv_bias", False) != bias:
            raise ModelError(
                f"config.json sets bias to {bias} and qkv_bias to {fields['qkv_bias']}; only equal "
                "values are supported, as the published checkpoints have them"
            )
        return llama_config(
            fields,
            attention_bias=bias,
            mlp_bias=bias,
            rope_parameters=rope_parameters(fields, "InternLM3"),
        )

    def model_class(self, config: PretrainedConfig) -> type[PreTrainedModel]:
        """Always the one class."""
        from xtune.models.families.architectures.internlm3 import InternLM3ForCausalLM

        return InternLM3ForCausalLM

    def tokenizer(self, files: CheckpointFiles) -> Any:
        """From tokenizer.model."""
        return sentencepiece_tokenizer(files, adds_bos=True)
