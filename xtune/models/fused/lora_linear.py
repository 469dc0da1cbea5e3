"""A linear layer and its LoRA adapter as one product with one backward pass.

    y = x W' + bias + s (x A') B'          W [O, D] frozen, A [r, D] and B [O, r] trained

PEFT computes the parts one after the other and casts the input to the adapter's fp32 on the way, so
that every layer keeps a copy of its own, also where several have one input (query, key and value;
gate and up). Here the backward pass needs the input itself; the adapter is added within the product
(`addmm`), scaled in its fp32 accumulator. A 4-bit W is unpacked in either pass and never kept.

    for backward  x [N, D], which others share, and x A' [N, r]; with dropout a byte [N, D]
    plain PEFT    its copy of x, and x A'; with dropout an fp32 [N, D]

Whatever the function does not cover goes through PEFT's own forward.

Shapes: N tokens, D width of the input, O of the output, r rank.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xtune.models.fused.subclassing import adopt

__all__ = ["dense_weight", "draw_kept", "fuse_lora", "lora_linear"]

# PEFT's class and its base layer's, exactly these: who inherits from them may do otherwise. By
# name, so that bitsandbytes is not loaded for asking.
_COVERED = {
    ("peft.tuners.lora.layer.Linear", "torch.nn.modules.linear.Linear"),
    ("peft.tuners.lora.bnb.Linear4bit", "bitsandbytes.nn.modules.Linear4bit"),
}


def lora_linear(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    lora_a: Tensor,
    lora_b: Tensor,
    *,
    scaling: float,
    dropout: float = 0.0,
    dtype: torch.dtype,
) -> Tensor:
    """Return `x W' + bias + scaling * dropout(x) A' B'`.

    Args:
        x: [..., D].
        weight: [O, D], or 4-bit as bitsandbytes packs it. It gets no gradient.
        bias: [O].
        lora_a: [r, D].
        lora_b: [O, r].
        scaling: of the adapter.
        dropout: probability with which an element of the adapter's input is dropped, 0 to 1
            (excluded).
        dtype: of the products, and of the result.

    Returns:
        [..., O]; gradients come in the dtypes of what they belong to.
    """
    return _LoraLinear.apply(x, weight, bias, lora_a, lora_b, scaling, dropout, dtype)


def fuse_lora(layer: nn.Module) -> bool:
    """Let a PEFT layer compute with `lora_linear` from now on; tell whether it is one that can."""
    if isinstance(layer, _LoraForward):
        return True
    kinds = _name(layer), _name(getattr(layer, "base_layer", None))
    if kinds not in _COVERED or getattr(layer, "fan_in_fan_out", False):
        return False
    adopt(layer, _LoraForward)
    return True


def _name(layer: object) -> str:
    return f"{type(layer).__module__}.{type(layer).__qualname__}"


class _LoraForward:
    """A PEFT layer whose linear layer and adapter are computed together."""

    def forward(self: Any, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        dtype = None if args or kwargs else _dtype_of_products(self, x)
        if dtype is None:
            return super().forward(x, *args, **kwargs)  # type: ignore[misc]
        name, base = self.active_adapters[0], self.base_layer
        dropout = self.lora_dropout[name]
        drops = isinstance(dropout, nn.Dropout) and dropout.training
        return lora_linear(
            x,
            base.weight,
            base.bias,
            self.lora_A[name].weight,
            self.lora_B[name].weight,
            scaling=self.scaling[name],
            dropout=dropout.p if drops else 0.0,
            dtype=dtype,
        )


def _dtype_of_products(layer: Any, x: Tensor) -> torch.dtype | None:
    """The dtype that plain PEFT would compute in; None if the call is not covered here."""
    active = layer.active_adapters
    if layer.disable_adapters or layer.merged or len(active) != 1:
        return None
    name, base = active[0], layer.base_layer
    if name not in layer.lora_A or name in layer.lora_variant:  # a variant: DoRA and others
        return None
    modules = base, layer.lora_A[name], layer.lora_B[name]
    first, second = modules[1].weight, modules[2].weight
    if modules[2].bias is not None or base.weight.requires_grad:
        return None
    for module in modules:
        # Whoever put a hook on an inner module (ZeRO 3 gathers weights so) expects it to be called.
        if module._forward_pre_hooks or module._forward_hooks or hasattr(module, "_hf_hook"):
            return None
        if hasattr(module.weight, "ds_id"):
            return None
    if not isinstance(layer.lora_dropout[name], nn.Dropout | nn.Identity):
        return None
    device = x.device.type
    autocast = torch.is_autocast_enabled(device)
    dtype = torch.get_autocast_dtype(device) if autocast else x.dtype
    if not autocast and not first.dtype == second.dtype == dtype:
        return None
    if getattr(base.weight, "quant_state", None) is not None:
        return dtype if base.compute_dtype == dtype == x.dtype else None
    if not base.weight.is_floating_point() or (not autocast and base.weight.dtype != dtype):
        return None
    return dtype


def dense_weight(weight: Any, dtype: torch.dtype) -> Tensor:
    """The matrix [O, D] that a weight stands for.

    Args:
        weight: [O, D], or packed in 4 bits.
        dtype: of the result.
    """
    state = getattr(weight, "quant_state", None)
    if state is None:
        return weight.to(dtype)
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(weight.data, state).to(dtype)


def draw_kept(x: Tensor, dropout: float) -> Tensor:
    """Draw which elements dropout keeps: uint8, 1 for those, in the shape of `x`.

    Each is decided by a number of 16 bits, so that the probability is rounded to a multiple of
    2^-16. On a CPU torch's own draw takes five times as long, which with 0.1 on all layers was
    two fifths of a step; and a product with bool takes four times as long as one with uint8.

    Args:
        x: of any shape.
        dropout: probability with which an element is dropped.
    """
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64, device=x.device)
    numbers = words.random_(-(2**63), None).view(torch.int16)[: x.numel()]
    dropped = min(round(dropout * 2**16), 2**16 - 1)
    return (numbers >= dropped - 2**15).view(torch.uint8).view(x.shape)


class _LoraLinear(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor | None,
        lora_a: Tensor,
        lora_b: Tensor,
        scaling: float,
        dropout: float,
        dtype: torch.dtype,
    ) -> Tensor:
        rows = x.reshape(-1, x.shape[-1]).to(dtype)
        a, b = lora_a.to(dtype), lora_b.to(dtype)
        kept = draw_kept(rows, dropout) if dropout else None
        inner = (rows if kept is None else rows * kept).mm(a.t())
        outer = scaling / (1 - dropout)
        dense = dense_weight(weight, dtype)
        out = F.linear(rows, dense, None if bias is None else bias.to(dtype))
        torch.addmm(out, inner, b.t(), alpha=outer, out=out)
        ctx.save_for_backward(rows, weight, a, b, inner, kept)
        ctx.scaling = outer
        ctx.dtypes = x.dtype, None if bias is None else bias.dtype, lora_a.dtype, lora_b.dtype
        ctx.shape = x.shape
        return out.view(*x.shape[:-1], len(b))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight, a, b, inner, kept = ctx.saved_tensors
        x_dtype, bias_dtype, a_dtype, b_dtype = ctx.dtypes
        grad = grad.reshape(-1, grad.shape[-1]).to(rows.dtype)
        grad_x = grad_bias = grad_a = grad_b = None
        grad_inner = grad.mm(b).mul_(ctx.scaling)
        if ctx.needs_input_grad[0]:
            grad_x = grad.mm(dense_weight(weight, rows.dtype))
            if kept is None:
                torch.addmm(grad_x, grad_inner, a, out=grad_x)
            else:
                grad_x += grad_inner.mm(a).mul_(kept)
            grad_x = grad_x.to(x_dtype).view(ctx.shape)
        if ctx.needs_input_grad[2]:
            grad_bias = grad.sum(0, dtype=torch.float32).to(bias_dtype)
        if ctx.needs_input_grad[3]:
            grad_a = grad_inner.t().mm(rows if kept is None else rows * kept).to(a_dtype)
        if ctx.needs_input_grad[4]:
            # [r, O] and turned: many short rows are the slower way round.
            grad_b = inner.t().mm(grad).mul_(ctx.scaling).t()
            grad_b = grad_b.to(b_dtype, memory_format=torch.contiguous_format)
        return grad_x, None, grad_bias, grad_a, grad_b, None, None, None
