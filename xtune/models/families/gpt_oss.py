"""gpt-oss, whose experts are published in MXFP4: unpacked while they are loaded."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from xtune.errors import ModelError
from xtune.models.families.base import Family, Layout
from xtune.registry import FAMILIES

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

__all__ = ["GptOss"]


@FAMILIES.register_module()
class GptOss(Family):
    """gpt-oss."""

    title = "gpt-oss"
    published = ("openai/gpt-oss-20b", "openai/gpt-oss-120b", "unsloth/gpt-oss-20b-BF16")
    model_types = ("gpt_oss",)
    loaded_as = "gpt-oss, its experts unpacked"
    differences = (
        "packs are run document by document: no kernel here has attention sinks",
        "the experts are unpacked from MXFP4 and stay in 16 bits, also under QLoRA",
        "no auxiliary loss balances the load of the experts",
        "LoRA on all linear layers lands on attention only",
    )
    unproven: ClassVar[Mapping[str, str]] = {
        "original_layout": "trained weights are not packed into MXFP4 again"
    }

    def config(self, fields: Mapping[str, Any]) -> PretrainedConfig:
        """As transformers reads it, without the packing.

        Raises:
            ModelError: weights that are packed in another way.
        """
        from transformers import GptOssConfig

        packing = fields.get("quantization_config") or {"quant_method": "mxfp4"}
        if packing.get("quant_method") != "mxfp4":
            raise ModelError(
                f"config.json says that the weights are packed as {packing.get('quant_method')!r}; "
                "gpt-oss is read from MXFP4, as published, and from unpacked copies"
            )
        kept = {name: value for name, value in fields.items() if name != "quantization_config"}
        return GptOssConfig.from_dict(copy.deepcopy(kept))

    def model_class(self, config: PretrainedConfig) -> type[PreTrainedModel]:
        """Always the one class."""
        from xtune.models.families.architectures.gpt_oss import UnpackedGptOssForCausalLM

        return UnpackedGptOssForCausalLM

    def layouts(self, config: PretrainedConfig) -> tuple[Layout, ...]:
        """Never the published one: see `unproven`."""
        return ("transformers",)
