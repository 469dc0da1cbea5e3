"""Attention in bf16 on a CPU whose backward pass runs in fp32.

torch's kernel for the CPU is fast forwards in bf16, and slow backwards: on documents of 32 to 128
tokens its fp32 backward pass, with the forward pass that it needs, takes a third to a tenth of the
time (measured on a processor with AMX). So the scores are computed twice, the second time from fp32
copies of query, key and value. What is kept is these three, and no output of the kernel; and the
gradients are rounded once, at the end.

Shapes: T tokens, H query heads, K key and value heads, E head width.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

__all__ = ["with_wide_backward"]


def with_wide_backward(
    attend: Callable[[Tensor, Tensor, Tensor], Tensor], query: Tensor, key: Tensor, value: Tensor
) -> Tensor:
    """Return `attend(query, key, value)`, whose gradient is computed by `attend` in fp32.

    Args:
        attend: any function of the three that draws no random numbers.
        query: [1, H, T, E].
        key: [1, K, T, E].
        value: [1, K, T, E].

    Returns:
        What `attend` returns, in the states' dtype.
    """
    return _WideBackward.apply(attend, query, key, value)


class _WideBackward(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        attend: Callable[[Tensor, Tensor, Tensor], Tensor],
        query: Tensor,
        key: Tensor,
        value: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(query, key, value)
        ctx.attend = attend
        return attend(query, key, value)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        wanted, saved = ctx.needs_input_grad[1:], ctx.saved_tensors  # a checkpoint gives them once
        with torch.enable_grad(), torch.autocast(grad.device.type, enabled=False):
            states = [
                state.detach().float().requires_grad_(needed)
                for state, needed in zip(saved, wanted, strict=True)
            ]
            out = ctx.attend(*states)
            inputs = [state for state in states if state.requires_grad]
            grads = iter(torch.autograd.grad(out, inputs, grad.float()))
        return None, *(
            next(grads).to(state.dtype) if needed else None
            for state, needed in zip(saved, wanted, strict=True)
        )
