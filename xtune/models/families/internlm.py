"""InternLM 1: Llama with biases on the four attention projections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import LlamaForCausalLM, PretrainedConfig, PreTrainedModel

from xtune.models.families.base import Family, converts
from xtune.models.families.files import CheckpointFiles
from xtune.models.families.llama_like import llama_config
from xtune.models.families.sentencepiece_tokenizer import sentencepiece_tokenizer
from xtune.registry import FAMILIES

__all__ = ["InternLM", "InternLMForCausalLM"]


@converts()
class InternLMForCausalLM(LlamaForCausalLM):
    """InternLM 1; its weights have Llama's names already."""

    _keys_to_ignore_on_load_unexpected = [r"rotary_emb\.inv_freq"]  # stored, but computed here


@FAMILIES.register_module()
class InternLM(Family):
    """InternLM 1."""

    title = "InternLM"
    published = ("internlm/internlm-7b", "internlm/internlm-chat-7b", "internlm/internlm-20b")
    model_types = ("internlm",)
    loaded_as = "Llama"
    original_files = (
        "tokenizer.model",
        "tokenizer_config.json",
        "configuration_internlm.py",
        "modeling_internlm.py",
        "tokenization_internlm.py",
    )

    def config(self, fields: Mapping[str, Any]) -> PretrainedConfig:
        """Translate; `bias` is that of q, k, v and o."""
        return llama_config(fields, attention_bias=fields.get("bias", True))

    def model_class(self, config: PretrainedConfig) -> type[PreTrainedModel]:
        """Always the one class."""
        return InternLMForCausalLM

    def tokenizer(self, files: CheckpointFiles) -> Any:
        """From tokenizer.model."""
        return sentencepiece_tokenizer(files, adds_bos=True)
