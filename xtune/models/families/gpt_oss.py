"""gpt-oss, whose experts are published in MXFP4: unpacked while they are loaded.

MXFP4 (OCP Microscaling Formats, version 1.0, 2023) writes 32 numbers as 4-bit floats, two a byte,
and one shared power of two:

    experts.gate_up_proj_blocks    uint8 [E, 2 F, D / 32, 16]
    experts.gate_up_proj_scales    uint8 [E, 2 F, D / 32]       the exponent, 127 added

Packed weights cannot be trained; unpacked they are the same numbers. A copy in bf16 loads as well.

Shapes: E experts, F width of an expert, D width of the model.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from transformers import GptOssConfig, GptOssForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.core_model_loading import ConversionOps, WeightConverter
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from xtune.errors import ModelError
from xtune.models.families.base import Family, Layout, converts
from xtune.registry import FAMILIES

__all__ = ["GptOss", "UnpackedGptOssForCausalLM"]


class _Unpack(ConversionOps):
    """Blocks and scales to one tensor [E, columns, rows], as transformers multiplies them."""

    @torch.no_grad()
    def convert(
        self,
        input_dict: dict[str, Any],
        source_patterns: list[str],
        target_patterns: list[str],
        **kwargs: Any,
    ) -> dict[str, Any]:
        blocks, scales = (_one(input_dict.pop(name)) for name in source_patterns)
        # The loader casts what it reads to the dtype of the model; bytes are whole in any of them.
        dtype = blocks.dtype if blocks.is_floating_point() else torch.bfloat16
        packed = (blocks.to(torch.uint8), scales.to(torch.uint8))
        return {target_patterns[0]: convert_moe_packed_tensors(*packed, dtype=dtype)}


def _one(found: Any) -> Tensor:
    return found[0] if isinstance(found, list) else found


@converts(
    *(
        WeightConverter(
            [f"mlp.experts.{name}_blocks", f"mlp.experts.{name}_scales"],
            f"mlp.experts.{name}",
            operations=[_Unpack()],
        )
        for name in ("gate_up_proj", "down_proj")
    )
)
class UnpackedGptOssForCausalLM(GptOssForCausalLM):
    """gpt-oss; besides the experts its weights have transformers' names."""


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
        return UnpackedGptOssForCausalLM

    def layouts(self, config: PretrainedConfig) -> tuple[Layout, ...]:
        """Never the published one: see `unproven`."""
        return ("transformers",)
