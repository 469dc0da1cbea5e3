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

from xtune.models.fused.blocks import row_blocks
from xtune.models.fused.subclassing import adopt

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
        width = x.shape[-1]
        rows = x.reshape(-1, width)
        out = torch.empty(
            x.shape, dtype=torch.promote_types(x.dtype, weight.dtype), device=x.device
        )
        inverse = torch.empty(len(rows), 1, dtype=torch.float32, device=x.device)
        for result, own, r in row_blocks(out.view(-1, width), rows, inverse):
            wide = own.float()
            torch.linalg.vector_norm(wide, dim=-1, keepdim=True, out=r)
            r.square_().div_(width).add_(eps).rsqrt_()
            torch.mul((wide * r).to(x.dtype), weight, out=result)
        ctx.save_for_backward(x, weight, inverse)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, inverse = ctx.saved_tensors
        width = x.shape[-1]
        by_x, by_weight = ctx.needs_input_grad[:2]
        grad_x = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        total = torch.zeros_like(weight, dtype=torch.float32) if by_weight else None
        rows = (t.reshape(-1, width) for t in (x, grad, grad_x))
        for own, slope, result, r in row_blocks(*rows, inverse):
            wide = own.float()
            if total is not None:
                total += (wide * r).to(x.dtype).mul(slope).sum(0, dtype=torch.float32)
            if by_x:
                slope = (slope * weight).float()
                share = (slope * wide).sum(-1, keepdim=True).mul_(r.pow(3)).div_(-width)
                result.copy_(slope.mul_(r).addcmul_(wide, share))
        return (
            grad_x if by_x else None,
            None if total is None else total.to(weight.dtype),
            None,
        )


class _NormForward:
    """An RMSNorm that keeps its input for the backward pass and no copy of it."""

    def forward(self: Any, *args: Any, **kwargs: Any) -> Tensor:
        eps = _eps(self)
        if len(args) != 1 or kwargs or eps is None:
            return super().forward(*args, **kwargs)  # type: ignore[misc]
        return rms_norm(args[0], self.weight, eps)


def is_norm(layer: nn.Module) -> bool:
    """Tell whether a layer looks like a root-mean-square norm: by its name and parameters."""
    return type(layer).__name__.endswith("RMSNorm") and [*dict(layer.named_parameters())] == [
        "weight"
    ]


def fuse_norm(layer: nn.Module) -> bool:
    """Let a norm compute with `rms_norm` if its own code gives the same; tell whether it does."""
    eps = _eps(layer)
    if not is_norm(layer) or eps is None or not _is_plain(layer, eps):
        return False
    adopt(layer, _NormForward)
    return True


def _eps(layer: Any) -> float | None:
    return getattr(layer, "variance_epsilon", getattr(layer, "eps", None))


@torch.no_grad()
def _is_plain(layer: nn.Module, eps: float) -> bool:
    """Ask the layer's own code, with another weight: some norms apply `1 + weight`."""
    probe: Any = copy.copy(layer)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, *probe.weight.shape, generator=generator)
    weight = torch.randn(probe.weight.shape, generator=generator)
    probe._parameters = {"weight": nn.Parameter(weight)}
    try:
        for scale in (1.0, 1e-3):  # the smaller shows where eps is added
            ours = rms_norm(x * scale, weight, eps)
            torch.testing.assert_close(probe(x * scale), ours, rtol=1e-5, atol=1e-6)
        return probe(x.bfloat16()).dtype == rms_norm(x.bfloat16(), weight, eps).dtype
    except Exception:  # whatever code that is: it does something else
        return False
