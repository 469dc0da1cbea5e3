"""Trained weights in fp32 within a base of 16 bits, whose layers go on in 16."""

from __future__ import annotations

from typing import Any

import torch

from xtune.models.fused.subclassing import adopt

__all__ = ["train_in_fp32"]


def train_in_fp32(peft_model: torch.nn.Module) -> None:
    """Make trained weights fp32; a layer trained whole still takes and gives its base's dtype.

    Args:
        peft_model: changed in place.
    """
    for module in peft_model.modules():
        own = [
            parameter
            for parameter in module.parameters(recurse=False)
            if parameter.requires_grad and parameter.dtype in (torch.bfloat16, torch.float16)
        ]
        if not own:
            continue
        outside = own[0].dtype
        for parameter in own:
            parameter.data = parameter.data.float()
        if all(p.dtype == torch.float32 for p in module.parameters(recurse=False)):
            module.register_forward_pre_hook(lambda _, inputs: _cast(inputs, torch.float32))
            module.register_forward_hook(lambda _, __, out, outside=outside: _cast(out, outside))
        elif type(module) is torch.nn.Linear:  # its bias alone is trained
            adopt(module, _BiasInFp32)


class _BiasInFp32:
    """A linear layer in 16 bits whose trained bias is fp32."""

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(x, self.weight, self.bias.to(self.weight.dtype))


def _cast(value: Any, dtype: torch.dtype) -> Any:
    """Floating tensors in another dtype; anything else as it is."""
    if isinstance(value, tuple):
        return tuple(_cast(item, dtype) for item in value)
    is_number = isinstance(value, torch.Tensor) and value.is_floating_point()
    return value.to(dtype) if is_number else value
