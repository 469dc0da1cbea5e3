"""gpt-oss, whose experts are published in MXFP4: unpacked while they are loaded.

MXFP4 (OCP Microscaling Formats, version 1.0, 2023) writes 32 numbers as 4-bit floats, two a byte,
and one shared power of two:

    experts.gate_up_proj_blocks    uint8 [E, 2 F, D / 32, 16]
    experts.gate_up_proj_scales    uint8 [E, 2 F, D / 32]       the exponent, 127 added

Packed weights cannot be trained; unpacked they are the same numbers. A copy in bf16 loads as well.

Shapes: E experts, F width of an expert, D width of the model.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import GptOssForCausalLM
from transformers.core_model_loading import ConversionOps, WeightConverter
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

from xtune.models.families.architectures.conversions import converts

__all__ = ["UnpackedGptOssForCausalLM"]


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
