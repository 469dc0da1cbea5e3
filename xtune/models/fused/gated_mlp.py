"""SwiGLU, `silu(gate) * up`, with a backward pass of its own: silu's result is not kept.

    for backward    gate [N, F] and up [N, F]; autograd keeps silu(gate) [N, F] besides

Shapes: N tokens, F width of the MLP.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xtune.models.fused.adopt import adopt

__all__ = ["fuse_mlp", "is_gated_mlp", "swiglu"]


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """Return `silu(gate) * up`; both [..., F] and of one dtype."""
    return _SwiGLU.apply(gate, up)


class _SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        return F.silu(gate).mul_(up)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        grad_gate = torch.ops.aten.silu_backward(grad * up, gate)
        return grad_gate, F.silu(gate).mul_(grad)


class _MLPForward:
    """A gated MLP that does not keep what its activation returns."""

    def forward(self: Any, x: Tensor) -> Tensor:
        gate, up = self.gate_proj(x), self.up_proj(x)
        return self.down_proj(swiglu(gate, up))


def is_gated_mlp(layer: nn.Module) -> bool:
    """Tell whether a layer has the three projections of a gated MLP, under Llama's names."""
    children = dict(layer.named_children())
    return children.keys() >= {"gate_proj", "up_proj", "down_proj"}


def fuse_mlp(layer: nn.Module) -> bool:
    """Let an MLP compute with `swiglu` if its own code gives the same; tell whether it does."""
    if not is_gated_mlp(layer) or not _is_plain(layer):
        return False
    adopt(layer, _MLPForward)
    return True


@torch.no_grad()
def _is_plain(layer: nn.Module) -> bool:
    """Ask the layer's own code, with small projections in place of its own."""
    probe: Any = copy.copy(layer)
    generator = torch.Generator().manual_seed(0)
    small = {name: nn.Linear(6, 6) for name in ("gate_proj", "up_proj", "down_proj")}
    for projection in small.values():
        for parameter in projection.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    probe._modules = {**layer._modules, **small}
    x = 3 * torch.randn(1, 5, 6, generator=generator)
    gate, up = small["gate_proj"](x), small["up_proj"](x)
    expected = small["down_proj"](F.silu(gate) * up)
    try:
        own = probe(x)
    except (RuntimeError, TypeError, ValueError, AttributeError):  # it is called differently
        return False
    return isinstance(own, Tensor) and torch.allclose(own, expected, rtol=1e-5, atol=1e-5)
