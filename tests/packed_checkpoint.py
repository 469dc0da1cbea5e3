"""Checkpoints as AutoGPTQ, AutoAWQ and compressed-tensors lay them out, of known whole numbers.

    weights = write_packed(folder, base, "gptq", bits=3, act_order=True)

Written bit by bit with Python's own numbers, so that nothing of xtune's reading is in it. The index
of Python packages has no real one: what the layouts are was read in AutoGPTQ (issues 331 and 477,
pull request 484), GPTQModel (2351), AutoAWQ's packing order and compressed-tensors 0.20.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

__all__ = ["stream", "write_packed"]

_AWQ = (0, 2, 4, 6, 1, 3, 5, 7)


def stream(codes: list[int], bits: int) -> list[int]:
    """Codes one after the other, the first lowest, cut into signed 32-bit numbers."""
    joined = 0
    for at, code in enumerate(codes):
        joined |= code << (at * bits)
    words = [(joined >> (32 * at)) & 0xFFFFFFFF for at in range(len(codes) * bits // 32)]
    return [word - 2**32 if word >= 2**31 else word for word in words]


def _rows(codes: Tensor, bits: int) -> Tensor:
    """Packed along the second dimension."""
    return torch.tensor([stream(row, bits) for row in codes.tolist()], dtype=torch.int32)


def _awq_rows(codes: Tensor) -> Tensor:
    eights = codes.reshape(len(codes), -1, 8)
    return _rows(torch.stack([eights[..., at] for at in _AWQ], -1).flatten(1), 4)


def write_packed(
    folder: Path | str,
    base: Path | str,
    method: str,
    *,
    bits: int = 4,
    group: int = 32,
    act_order: bool = False,
    version: str = "gptq",
    symmetric: bool = False,
    with_bias: bool = False,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Write a packed checkpoint, its linear layers drawn anew; return what they stand for.

    Args:
        folder: made.
        base: a folder of `tests.tiny`, whose other weights and tokenizer it takes.
        method: gptq, awq or compressed-tensors.
        bits: of a code.
        group: inputs that share a scale; -1: all.
        act_order: inputs choose their group.
        version: of gptq: gptq or gptq_v2.
        symmetric: compressed-tensors: without zeros.
        with_bias: zeros that the model has no place for, as AutoGPTQ writes them.
        seed: of the codes.
    """
    generator = torch.Generator().manual_seed(seed)
    folder = Path(folder)
    shutil.copytree(base, folder)
    file = folder / "model.safetensors"
    tensors, made = load_file(file), {}
    for name in sorted(tensors):
        if ".layers." not in name or tensors[name].ndim != 2:
            continue
        layer = name.removesuffix(".weight")
        outputs, inputs = tensors.pop(name).shape
        groups = inputs // (inputs if group == -1 else group)
        codes = torch.randint(0, 2**bits, (inputs, outputs), generator=generator)
        zeros = torch.randint(0, 2**bits, (groups, outputs), generator=generator)
        if symmetric:
            zeros = torch.full_like(zeros, 2 ** (bits - 1))
        scales = 0.5 + torch.rand(groups, outputs, generator=generator)
        scales = (scales * 0.5 / (2**bits * inputs**0.5)).half()
        order = torch.arange(inputs) // (inputs // groups)
        if act_order:
            order = order[torch.randperm(inputs, generator=generator)]
        dense = (codes - zeros[order]).float() * scales[order].float()
        made[layer] = dense.t().contiguous()
        if method == "gptq":
            stored = (zeros - 1) % 2**bits if version == "gptq" else zeros
            own = {
                "qweight": _rows(codes.t(), bits).t(),
                "qzeros": _rows(stored, bits),
                "scales": scales,
                "g_idx": order.to(torch.int32),
            }
            if with_bias:
                own["bias"] = torch.zeros(outputs, dtype=torch.float16)
        elif method == "awq":
            own = {"qweight": _awq_rows(codes), "qzeros": _awq_rows(zeros), "scales": scales}
        else:
            own = {
                "weight_packed": _rows(codes.t(), bits),
                "weight_scale": scales.t(),
                "weight_shape": torch.tensor([outputs, inputs]),
            }
            if not symmetric:
                own["weight_zero_point"] = _rows(zeros, bits).t()
            if act_order:
                own["weight_g_idx"] = order.to(torch.int32)
        tensors |= {f"{layer}.{key}": value.contiguous() for key, value in own.items()}
    save_file(tensors, file, metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    said = _said(method, bits, group, act_order, version, symmetric)
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": said}))
    return made


def _said(
    method: str, bits: int, group: int, act_order: bool, version: str, symmetric: bool
) -> dict[str, Any]:
    if method == "gptq":
        said = {"bits": bits, "group_size": group, "desc_act": act_order, "sym": symmetric}
        return said | {"quant_method": "gptq", "checkpoint_format": version}
    if method == "awq":
        said = {"bits": bits, "group_size": group, "zero_point": True, "version": "gemm"}
        return said | {"quant_method": "awq", "modules_to_not_convert": None}
    weights: dict[str, Any] = {
        "num_bits": bits,
        "type": "int",
        "symmetric": symmetric,
        "strategy": "channel" if group == -1 else "group",
        "group_size": None if group == -1 else group,
        "actorder": "group" if act_order else None,
        "dynamic": False,
    }
    one = {"targets": ["Linear"], "weights": weights, "input_activations": None}
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": {"group_0": one | {"output_activations": None}},
        "ignore": ["lm_head"],
    }
