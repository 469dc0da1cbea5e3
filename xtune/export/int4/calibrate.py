"""Round a model layer by layer, each by what it is given behind the rounded ones before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from xtune.errors import ModelError
from xtune.export.int4.gptq import Rounded, gptq, nearest

__all__ = ["group_of", "linears_of", "round_by_rows", "round_to_nearest"]

_GROUPS = (128, 64, 32)


class _Call(NamedTuple):
    """What a layer is given for one text."""

    hidden: Tensor
    more: tuple[Any, ...]
    named: dict[str, Any]

    def of(self, layer: nn.Module) -> Tensor:
        """The layer's output."""
        output = layer(self.hidden, *self.more, **self.named)
        hidden: Tensor = output[0] if isinstance(output, tuple) else output
        return hidden


def linears_of(llm: Any) -> dict[str, nn.Linear]:
    """Return the linear layers that are rounded, by name: all within the decoder's layers.

    Args:
        llm: a transformers model without an adapter.

    Raises:
        ModelError: experts of a layer are one tensor, which the format has no place for.
    """
    prefix, layers = _layers(llm)
    if joined := [name for name, weight in layers.named_parameters() if weight.ndim == 3]:
        raise ModelError(
            f"int4 is written of linear layers, and {prefix}.{joined[0]} has all experts in one "
            "tensor: write GGUF (--format gguf --quant q4_0)"
        )
    return {
        f"{prefix}.{name}": module
        for name, module in layers.named_modules()
        if isinstance(module, nn.Linear)
    }


def group_of(linears: dict[str, nn.Linear]) -> int:
    """Return how many columns share a scale: the most that every width allows.

    Args:
        linears: that are rounded.

    Raises:
        ModelError: a width is no multiple of 32.
    """
    for group in _GROUPS:
        if all(linear.in_features % group == 0 for linear in linears.values()):
            return group
    odd = next(name for name, one in linears.items() if one.in_features % _GROUPS[-1])
    raise ModelError(
        f"{odd} is {linears[odd].in_features} wide, and groups of int4 have {_GROUPS[-1]} columns "
        "at least: write GGUF (--format gguf --quant q8_0)"
    )


@torch.no_grad()
def round_to_nearest(linears: dict[str, nn.Linear], group: int) -> dict[str, Tensor]:
    """Round every layer in place, by itself; return the weights that were there.

    Args:
        linears: changed.
        group: columns that share a scale.
    """
    before = {}
    for name, linear in linears.items():
        before[name] = linear.weight.detach().clone()
        linear.weight.copy_(nearest(linear.weight, group).weight)
    return before


@torch.no_grad()
def round_by_rows(
    llm: Any, linears: dict[str, nn.Linear], rows: Sequence[Sequence[int]], group: int
) -> dict[str, Rounded]:
    """Round every layer in place, by what the rows put into it.

    Args:
        llm: changed.
        linears: of it.
        rows: ids of texts that the model was trained on.
        group: columns that share a scale.
    """
    prefix, layers = _layers(llm)
    texts = [_given(llm, layers, row) for row in rows]
    hidden = [given[0].hidden for given in texts]
    made: dict[str, Rounded] = {}
    for number, layer in enumerate(layers):
        own = {
            name: linear
            for name, linear in linears.items()
            if name.startswith(f"{prefix}.{number}.")
        }
        calls = [given[number]._replace(hidden=x) for given, x in zip(texts, hidden, strict=True)]
        hessians = _hessians(layer, own, calls)
        for name, linear in own.items():
            rounded = gptq(linear.weight, hessians.pop(name), group)
            linear.weight.copy_(rounded.weight)
            made[name] = rounded
        hidden = [call.of(layer) for call in calls]
    return made


def _layers(llm: Any) -> tuple[str, nn.ModuleList]:
    found = [
        (name, module)
        for name, module in llm.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == llm.config.num_hidden_layers
    ]
    if not found:
        raise ModelError(f"the layers of a {llm.config.model_type!r} model are not known to int4")
    return found[0]


def _given(llm: Any, layers: nn.ModuleList, row: Sequence[int]) -> list[_Call]:
    """What each layer is given for a text: masks and positions are not alike for all kinds."""
    seen: list[_Call] = []

    def keep(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        first = seen[:1]  # of the others the hidden states are not kept
        seen.append(_Call(first[0].hidden if first else args[0], args[1:], kwargs))

    hooks = [layer.register_forward_pre_hook(keep, with_kwargs=True) for layer in layers]
    try:
        llm(input_ids=torch.tensor([list(row)]), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def _hessians(
    layer: nn.Module, linears: dict[str, nn.Linear], calls: Sequence[_Call]
) -> dict[str, Tensor]:
    """2 X^T X of each linear layer, over all texts."""
    sums = {name: torch.zeros(one.in_features, one.in_features) for name, one in linears.items()}

    def adder(name: str) -> Callable[..., None]:
        def add(module: nn.Module, args: tuple[Any, ...]) -> None:
            x = args[0].reshape(-1, args[0].shape[-1]).float()
            sums[name].addmm_(x.T, x, alpha=2)

        return add

    hooks = [one.register_forward_pre_hook(adder(name)) for name, one in linears.items()]
    try:
        for call in calls:
            call.of(layer)
    finally:
        for hook in hooks:
            hook.remove()
    return sums
