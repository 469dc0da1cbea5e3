"""InternLM 2 and 2.5: Llama with grouped queries, under other names and with q, k, v fused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xtune.models.families.base import Family
from xtune.models.families.files import CheckpointFiles
from xtune.models.families.llama_like import llama_config, rope_parameters
from xtune.models.families.sentencepiece_tokenizer import sentencepiece_tokenizer
from xtune.registry import FAMILIES

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

__all__ = ["InternLM2"]


@FAMILIES.register_module()
class InternLM2(Family):
    """InternLM 2 and 2.5."""

    title = "InternLM2, InternLM2.5"
    published = ("internlm/internlm2-7b", "internlm/internlm2-chat-20b", "internlm/internlm2_5-7b")
    model_types = ("internlm2",)
    loaded_as = "Llama"
    original_files = (
        "tokenizer.model",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "configuration_internlm2.py",
        "modeling_internlm2.py",
        "tokenization_internlm2.py",
        "tokenization_internlm2_fast.py",
    )
    differences = (
        "With dynamic scaling (InternLM2.5) the original keeps the frequencies of the longest row "
        "it has seen; here a row's logits do not depend on earlier rows.",
        "Saved in the transformers layout, rows beyond the trained length are scaled by "
        "transformers' own rule, which keeps them too.",
    )

    def config(self, fields: Mapping[str, Any]) -> PretrainedConfig:
        """Translate; `bias` is that of wqkv and wo."""
        return llama_config(
            fields,
            attention_bias=fields.get("bias", False),
            rope_parameters=rope_parameters(fields, "InternLM2", default_base=1000000.0),
        )

    def model_class(self, config: PretrainedConfig) -> type[PreTrainedModel]:
        """Always the one class."""
        from xtune.models.families.architectures.internlm2 import InternLM2ForCausalLM

        return InternLM2ForCausalLM

    def tokenizer(self, files: CheckpointFiles) -> Any:
        """From tokenizer.model."""
        return sentencepiece_tokenizer(files, adds_bos=True)
