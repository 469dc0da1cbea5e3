"""Baichuan 13B and Baichuan 2 13B: Llama's layers with ALiBi in place of a rotary embedding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xtune.models.families.baichuan import Baichuan, is_second_generation
from xtune.models.families.base import Layout
from xtune.models.families.llama_like import llama_config
from xtune.registry import FAMILIES

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

__all__ = ["BaichuanAlibi"]


@FAMILIES.register_module()
class BaichuanAlibi(Baichuan):
    """Baichuan 13B and Baichuan 2 13B."""

    title = "Baichuan-13B, Baichuan2-13B"
    published = (
        "baichuan-inc/Baichuan-13B-Base",
        "baichuan-inc/Baichuan-13B-Chat",
        "baichuan-inc/Baichuan2-13B-Base",
    )
    loaded_as = "Llama's layers with ALiBi"
    differences = (
        "No architecture of transformers computes ALiBi with these layers, so a model is written "
        "in the original layout only; xtune reads that again.",
    )

    def reads(self, fields: Mapping[str, Any]) -> bool:
        """The ones with ALiBi: their config.json has model_max_length alone."""
        return fields.get("model_type") in self.model_types and not super().reads(fields)

    def config(self, fields: Mapping[str, Any]) -> PretrainedConfig:
        """Translate; the trained length is model_max_length."""
        return llama_config(
            fields,
            attention_bias=False,
            max_position_embeddings=fields["model_max_length"],
            normalises_head=is_second_generation(fields),
        )

    def model_class(self, config: PretrainedConfig) -> type[PreTrainedModel]:
        """Always the one class."""
        from xtune.models.families.architectures.baichuan_alibi import BaichuanAlibiForCausalLM

        return BaichuanAlibiForCausalLM

    def layouts(self, config: PretrainedConfig) -> tuple[Layout, ...]:
        """Only the original."""
        return ("original",)
