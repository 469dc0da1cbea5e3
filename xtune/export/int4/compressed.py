"""compressed-tensors' `pack-quantized`: what transformers, vLLM and SGLang read int4 from.

NAME.weight_packed   int32 [O, I/8]   eight codes a number, the first in the lowest bits, plus 8
NAME.weight_scale    [O, G]
NAME.weight_shape    [2]              O and I
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import save_torch_state_dict
from torch import Tensor

from xtune.export.int4.gptq import Rounded
from xtune.models.older_readers import read_json, write_json

__all__ = ["packed", "write_packed"]


def packed(codes: Tensor) -> Tensor:
    """Put eight codes into each number.

    >>> packed(torch.tensor([[-8, -7, 0, 0, 0, 0, 0, 7]], dtype=torch.int8)).tolist()
    [[-125270000]]

    Args:
        codes: int8 [O, I], -8 to 7.
    """
    parts = (codes.to(torch.int64) + 8).reshape(codes.shape[0], -1, 8)
    shifts = torch.arange(0, 32, 4)
    joined = (parts << shifts).sum(-1)
    return torch.where(joined >= 2**31, joined - 2**32, joined).to(torch.int32)


def write_packed(
    folder: Path,
    weights: Mapping[str, Tensor],
    rounded: Mapping[str, Rounded],
    *,
    group: int,
    ignored: list[str],
) -> None:
    """Replace the weights of a folder, and say in config.json how they are packed.

    Args:
        folder: of a model in transformers' layout.
        weights: of the whole model, by name.
        rounded: those that are packed, by the name of their layer.
        group: columns that share a scale.
        ignored: linear layers that are not packed, as the head.
    """
    for file in [*folder.glob("*.safetensors"), *folder.glob("*.safetensors.index.json")]:
        file.unlink()
    tensors: dict[str, Tensor] = {}
    for name, weight in weights.items():
        one = rounded.get(name.removesuffix(".weight")) if name.endswith(".weight") else None
        if one is None:
            tensors[name] = weight.detach().contiguous()
            continue
        tensors[f"{name}_packed"] = packed(one.codes)
        tensors[f"{name}_scale"] = one.scales.contiguous()
        tensors[f"{name}_shape"] = torch.tensor(one.codes.shape)
    save_torch_state_dict(tensors, folder, metadata={"format": "pt"})
    file = folder / "config.json"
    fields: dict[str, Any] = read_json(file)
    fields["quantization_config"] = {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": {
            "group_0": {
                "targets": ["Linear"],
                "weights": {
                    "num_bits": 4,
                    "type": "int",
                    "symmetric": True,
                    "strategy": "group",
                    "group_size": group,
                    "dynamic": False,
                },
                "input_activations": None,
                "output_activations": None,
            }
        },
        "ignore": ignored,
    }
    write_json(file, fields)
