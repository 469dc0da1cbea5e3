"""Change a model layer by layer, each by what it is given behind the changed ones before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from xtune.errors import ModelError

__all__ = ["change_alone", "change_by_rows", "group_of", "linears_of"]

_GROUPS = (128, 64, 32)


class _Call(NamedTuple):
    """What a layer is given for one text, besides the hidden states."""

    more: tuple[Any, ...]
    named: dict[str, Any]

    def of(self, layer: nn.Module, hidden: Tensor) -> Tensor:
        """The layer's output."""
        output = layer(hidden, *self.more, **self.named)
        new: Tensor = output[0] if isinstance(output, tuple) else output
        return new


def linears_of(llm: Any) -> dict[str, nn.Linear]:
    """Return the linear layers that are changed, by name: all within the decoder's layers.

    Args:
        llm: a transformers model without an adapter.

    Raises:
        ModelError: experts of a layer are one tensor, which the format has no place for.
    """
    prefix, layers = _layers(llm)
    if joined := [name for name, weight in layers.named_parameters() if weight.ndim == 3]:
        raise ModelError(
            f"calibrating changes linear layers, and {prefix}.{joined[0]} has all experts in one "
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
def change_alone(
    linears: Mapping[str, nn.Linear], change: Callable[[Tensor], Tensor]
) -> dict[str, Tensor]:
    """Change every layer in place, by itself; return the weights that were there.

    Args:
        linears: changed.
        change: what a weight becomes.
    """
    before = {}
    for name, linear in linears.items():
        before[name] = linear.weight.detach().clone()
        linear.weight.copy_(change(linear.weight))
    return before


@torch.no_grad()
def change_by_rows(
    llm: Any,
    linears: Mapping[str, nn.Linear],
    rows: Sequence[Sequence[int]],
    change: Callable[[str, Tensor, Tensor], Tensor],
) -> None:
    """Change every layer in place, by what the rows put into it behind the changed ones before.

    Held are the hidden states of the rows once, and the Hessians of one layer.

    Args:
        llm: changed.
        linears: of it.
        rows: ids of texts that the model was trained on.
        change: of a layer's name, weight and Hessian: what the weight becomes.
    """
    prefix, layers = _layers(llm)
    hidden, calls = [], []
    for row in rows:
        first, given = _given(llm, layers, row)
        hidden.append(first)
        calls.append(given)
    for number, layer in enumerate(layers):
        own = {
            name: linear
            for name, linear in linears.items()
            if name.startswith(f"{prefix}.{number}.")
        }
        texts = [given[number] for given in calls]
        hessians = _hessians(layer, own, texts, hidden)
        for name, linear in own.items():
            linear.weight.copy_(change(name, linear.weight, hessians.pop(name)))
        for place, call in enumerate(texts):
            hidden[place] = call.of(layer, hidden[place])


def _layers(llm: Any) -> tuple[str, nn.ModuleList]:
    found = [
        (name, module)
        for name, module in llm.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == llm.config.num_hidden_layers
    ]
    if not found:
        raise ModelError(f"the layers of a {llm.config.model_type!r} model are not known to int4")
    return found[0]


def _given(llm: Any, layers: nn.ModuleList, row: Sequence[int]) -> tuple[Tensor, list[_Call]]:
    """What the first layer is given for a text, and with what each is called.

    Masks and positions are not alike for all kinds of layers.
    """
    seen: list[_Call] = []
    first: list[Tensor] = []

    def keep(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not seen:
            first.append(args[0])
        seen.append(_Call(args[1:], kwargs))

    hooks = [layer.register_forward_pre_hook(keep, with_kwargs=True) for layer in layers]
    try:
        llm(input_ids=torch.tensor([list(row)]), use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return first[0], seen


def _hessians(
    layer: nn.Module,
    linears: dict[str, nn.Linear],
    calls: Sequence[_Call],
    hidden: Sequence[Tensor],
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
        for call, states in zip(calls, hidden, strict=True):
            call.of(layer, states)
    finally:
        for hook in hooks:
            hook.remove()
    return sums
