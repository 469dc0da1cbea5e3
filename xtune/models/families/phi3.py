"""Phi-3 and Phi-4-mini for long texts: LongRoPE, chosen for each document of a row."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from xtune.models.families.base import Family
from xtune.registry import FAMILIES

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

__all__ = ["Phi3LongRope"]

_LONGROPE = ("longrope", "su")  # 'su' in the first releases


@FAMILIES.register_module()
class Phi3LongRope(Family):
    """Phi-3 with LongRoPE."""

    title = "Phi-3 (128k), Phi-3.5-mini, Phi-4-mini"
    published = (
        "microsoft/Phi-3-mini-128k-instruct",
        "microsoft/Phi-3-medium-128k-instruct",
        "microsoft/Phi-3.5-mini-instruct",
        "microsoft/Phi-4-mini-instruct",
    )
    model_types = ("phi3",)
    loaded_as = "Phi-3, its rotary factors chosen for each document of a row"
    original_files = (
        "tokenizer.json",
        "tokenizer.model",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "configuration_phi3.py",
        "modeling_phi3.py",
    )
    differences = (
        "transformers itself, given a row of several documents or a batch, chooses the factors by "
        "the longest; it computes the same for one text at a time.",
    )

    def reads(self, fields: Mapping[str, Any]) -> bool:
        """Those of Phi-3's that have LongRoPE, and were not read here before."""
        scaling = fields.get("rope_scaling") or fields.get("rope_parameters") or {}
        kind = scaling.get("rope_type", scaling.get("type"))
        return super().reads(fields) and kind in _LONGROPE and "xtune_family" not in fields

    def config(self, fields: Mapping[str, Any]) -> PretrainedConfig:
        """As transformers reads it."""
        from transformers import Phi3Config

        return Phi3Config.from_dict(copy.deepcopy(dict(fields)))

    def model_class(self, config: PretrainedConfig) -> type[PreTrainedModel]:
        """Always the one class."""
        from xtune.models.families.architectures.phi3 import LongRopePhi3ForCausalLM

        return LongRopePhi3ForCausalLM
