"""RMSNorm with a backward pass of its own: it keeps the input, where autograd keeps fp32 copies.

    y = w * (x r)        r [N, 1] = 1 / sqrt(mean of x^2 + eps), in fp32

    gradient by x   g = dy * w;  r g - x (r^3 / D) sum(g x)
    gradient by w   sum over N of dy * (x r)

    for backward    x [N, D] in its own dtype, which the residual stream holds anyway, and r

Shapes: N tokens, D width.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from xtune.models.fused.adopt import adopt

__all__ = ["fuse_norm", "is_norm", "rms_norm"]


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """Return `weight * (x / rms(x))`, computed in fp32 and rounded before the weight is applied.

    Args:
        x: [..., D].
        weight: [D].
        eps: added to the mean square.

    Returns:
        [..., D] in the dtype that `weight * x` has.
    """
    return _RMSNorm.apply(x, weight, eps)


class _RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        wide = x.float()
        inverse = torch.linalg.vector_norm(wide, dim=-1, keepdim=True)
        inverse = inverse.square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, weight, inverse)
        normed = wide.mul_(inverse) if wide is not x else wide * inverse
        return weight * normed.to(x.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, inverse = ctx.saved_tensors
        wide, slope = x.float(), grad.float()
        grad_x = grad_weight = None
        if ctx.needs_input_grad[1]:
            along = (wide * inverse).to(x.dtype).mul(grad)
            grad_weight = along.flatten(0, -2).sum(0, dtype=torch.float32).to(weight.dtype)
        if ctx.needs_input_grad[0]:
            slope = slope * weight
            share = (slope * wide).sum(-1, keepdim=True)
            share.mul_(inverse.pow(3)).div_(-x.shape[-1])
            grad_x = slope.mul_(inverse).addcmul_(wide, share).to(x.dtype)
        return grad_x, grad_weight, None


class _NormForward:
    """An RMSNorm that keeps its input for the backward pass and no copy of it."""

    def forward(self: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if args or kwargs:
            return super().forward(x, *args, **kwargs)  # type: ignore[misc]
        return rms_norm(x, self.weight, _eps(self))


def is_norm(layer: nn.Module) -> bool:
    """Tell whether a layer looks like a root-mean-square norm: by its name and parameters."""
    names = [name for name, _ in layer.named_parameters()]
    return type(layer).__name__.endswith("RMSNorm") and names == ["weight"]


def fuse_norm(layer: nn.Module) -> bool:
    """Let a norm compute with `rms_norm` if its own code gives the same; tell whether it does."""
    if not is_norm(layer) or _eps(layer) is None or not _is_plain(layer):
        return False
    adopt(layer, _NormForward)
    return True


def _eps(layer: Any) -> float | None:
    return getattr(layer, "variance_epsilon", getattr(layer, "eps", None))


@torch.no_grad()
def _is_plain(layer: nn.Module) -> bool:
    """Ask the layer's own code, with another weight: some norms apply `1 + weight`."""
    probe: Any = copy.copy(layer)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, *probe.weight.shape, generator=generator)
    weight = torch.randn(probe.weight.shape, generator=generator)
    probe._parameters = {"weight": nn.Parameter(weight)}
    eps = _eps(probe) or 0.0
    for scale in (1.0, 1e-3):  # the smaller shows where eps is added
        own, ours = probe(x * scale), rms_norm(x * scale, weight, eps)
        if own.shape != ours.shape or not torch.allclose(own, ours, rtol=1e-5, atol=1e-6):
            return False
    return probe(x.bfloat16()).dtype == rms_norm(x.bfloat16(), weight, eps).dtype
