"""A frozen linear layer whose weight stays packed; it is unpacked in each pass, and not kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xtune.models.packed.packing import Packing, Shapes

__all__ = ["PackedLinear", "dense_sizes"]


class PackedLinear(nn.Linear):
    """A linear layer as GPTQ, AWQ or compressed-tensors has published it.

    The gradient for its input is that of the weight that the codes stand for. `weight` unpacks it
    whenever it is asked for: what is written into it is lost.

    Args:
        packing: of the checkpoint.
        in_features: of the layer.
        out_features: of it.
        bias: whether it has one.
        dtype: that the model computes in.
        shapes: of the tensors, where they are known better than `packing` says.
    """

    def __init__(
        self,
        packing: Packing,
        in_features: int,
        out_features: int,
        *,
        bias: bool,
        dtype: torch.dtype,
        shapes: Shapes | None = None,
    ) -> None:
        nn.Module.__init__(self)
        self.packing = packing
        self.in_features, self.out_features = in_features, out_features
        self.compute_dtype = dtype
        self.lacks_bias = False  # a bias that is stored is one too many
        for name, (shape, number) in (shapes or packing.shapes(in_features, out_features)).items():
            self.register_parameter(name, nn.Parameter(torch.empty(shape, dtype=number), False))
        held = nn.Parameter(torch.empty(out_features, dtype=dtype), False) if bias else None
        self.register_parameter("bias", held)

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """What the codes stand for, [O, I], in the model's dtype."""
        return self.dense(self.compute_dtype)

    def dense(self, dtype: torch.dtype) -> Tensor:
        """Return what the codes stand for, [O, I].

        Args:
            dtype: of the result.
        """
        return self.packing.dense(
            {n: p.data for n, p in self._parameters.items() if p is not None}
        ).to(dtype)

    def forward(self, input: Tensor) -> Tensor:
        """Multiply; under autocast in its dtype, else in that of the input.

        Args:
            input: [..., I].
        """
        device = input.device.type
        dtype = (
            torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else input.dtype
        )
        out: Tensor = _Product.apply(input, self, dtype)
        return out if self.bias is None else out + self.bias.to(dtype)

    def settle(self) -> None:
        """Drop what is stored and says nothing more: the shape; an order that is none."""
        self._parameters.pop("weight_shape", None)
        for name in ("g_idx", "weight_g_idx"):
            order = self._parameters.get(name)
            if order is None:
                continue
            groups = self.packing.group or self.in_features
            plain = torch.arange(self.in_features, device=order.device) // groups
            if torch.equal(order.long(), plain):
                del self._parameters[name]


class _Product(torch.autograd.Function):
    """`x W'`: backward needs W alone, which it unpacks again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layer: PackedLinear, dtype: torch.dtype) -> Tensor:
        ctx.layer, ctx.dtype, ctx.given = layer, dtype, x.dtype
        return F.linear(x.to(dtype), layer.dense(dtype))

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None]:
        if not ctx.needs_input_grad[0]:
            return None, None, None
        return (grad.to(ctx.dtype) @ ctx.layer.dense(ctx.dtype)).to(ctx.given), None, None


def dense_sizes(model: nn.Module) -> Iterator[tuple[Tensor, int]]:
    """Yield each packed layer's tensors with how many weights each stands for: the codes for all.

    Args:
        model: with weights or on 'meta'.
    """
    for module in model.modules():
        if isinstance(module, PackedLinear):
            for name, tensor in module.named_parameters(recurse=False):
                whole = module.in_features * module.out_features
                if name != "bias":
                    yield tensor, whole if name == module.packing.key else 0
