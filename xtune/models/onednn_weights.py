"""Linear layers on a CPU whose weights are laid out once for oneDNN, for models that only answer.

A product with few rows reads the weight and does little else; laid out as oneDNN's kernels want it,
the weight is read in order. One row of SmolLM2's layers in bf16 takes about half of the time, and
its head a third (measured: benchmarks/chat_speed.py). Results are those of the plain layer, bit for
bit in bf16.

In bf16 a single row is multiplied as two where it would come out otherwise alone: oneDNN splits the
sum of a long row (of 1536 numbers, and one output in 6000 differs by a last bit), and from two rows
on computes all alike. So an answer does not depend on how many are written at once.

The packed weight stands next to the layer's own, which others may read, save or train: once it has
been changed, the layer is a plain one again.
"""

from __future__ import annotations

import logging
from typing import Any

import psutil
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xtune.models.fused.subclassing import adopt

__all__ = ["pack_weights"]

logger = logging.getLogger(__name__)

_SHARE = 0.5  # of the memory that is free, at most, goes into packed weights


def pack_weights(llm: nn.Module, *, rows: int = 1) -> int:
    """Pack the weights of a model's linear layers, in place.

    Nothing is done for a model that is not on a CPU, where torch's oneDNN cannot do it, or where
    the packed weights would take more than half of the memory that is free.

    Args:
        llm: a model that answers; with an adapter, its base layers are packed.
        rows: that a product will have. The layout for 32 or more is a tenth faster there in fp32,
            and a tenth slower for one row.

    Returns:
        How many layers are packed.
    """
    layers: list[Any] = [
        layer
        for layer in llm.modules()
        if isinstance(layer, nn.Linear)
        and type(layer).forward in (nn.Linear.forward, _PackedForward.forward)
        and layer.weight.device.type == "cpu"
        and layer.weight.dtype in (torch.float32, torch.bfloat16)
    ]
    size = sum(layer.weight.numel() * layer.weight.element_size() for layer in layers)
    if not layers or not _works(layers[0].weight.dtype):
        return 0
    if size > _SHARE * psutil.virtual_memory().available:
        logger.info("weights are not packed for speed: it takes %.1f GB more", size / 1e9)
        return 0
    in_bf16 = any(layer.weight.dtype == torch.bfloat16 for layer in layers)
    differs: dict[torch.Size, bool] = {}
    for layer in layers:
        adopt(layer, _PackedForward)
        layer.packed_weight = _packed(layer.weight, rows)
        layer.packed_from = _state(layer.weight)
        shape = layer.weight.shape
        if in_bf16 and shape not in differs:
            differs[shape] = _alone_differs(layer.packed_weight, layer.weight)
        layer.is_never_alone = in_bf16 and differs[shape]
    return len(layers)


class _PackedForward:
    """A linear layer that multiplies with its packed weight while that is what its weight is."""

    packed_weight: Tensor
    packed_from: tuple[int, int]
    is_never_alone: bool

    def forward(self: Any, x: Tensor) -> Tensor:
        weight = self.weight
        if (
            torch.is_grad_enabled()
            or x.dtype != weight.dtype
            or torch.is_autocast_enabled("cpu")
            or self.packed_from != _state(weight)
        ):
            return F.linear(x, weight, self.bias)
        if self.is_never_alone and x.dim() > 1 and x.numel() == x.shape[-1]:
            return _product(x.expand(2, *x.shape[1:]), self.packed_weight, self.bias)[:1]
        return _product(x, self.packed_weight, self.bias)


def _state(weight: Tensor) -> tuple[int, int]:
    return weight.data_ptr(), weight._version


def _packed(weight: Tensor, rows: int) -> Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach(), rows)


def _product(x: Tensor, packed: Tensor, bias: Tensor | None) -> Tensor:
    return torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")


def _alone_differs(packed: Tensor, weight: Tensor) -> bool:
    """Whether a row alone has other sums than next to another: a quarter of a million are tried."""
    outputs, inputs = weight.shape
    count = min(max(2**18 // outputs, 8), 256)
    dice = torch.Generator().manual_seed(0)
    x = torch.randn(count, inputs, generator=dice).to(weight.dtype)
    with torch.no_grad():
        together = _product(x, packed, None)
        return any(
            not torch.equal(_product(x[at : at + 1], packed, None)[0], together[at])
            for at in range(count)
        )


def _works(dtype: torch.dtype) -> bool:
    """Try it: these operators are inductor's, and another version of torch may lack them."""
    generator = torch.Generator().manual_seed(0)
    x, weight = (torch.randn(n, 64, generator=generator).to(dtype) for n in (3, 32))
    try:
        with torch.no_grad():
            ours = _product(x, _packed(weight, 1), None)
        torch.testing.assert_close(ours, F.linear(x, weight))
    except Exception as error:
        logger.info("weights are not packed for speed: %s", str(error).splitlines()[0])
        return False
    return True
