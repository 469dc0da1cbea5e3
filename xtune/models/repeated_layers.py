"""A model on 'meta' is made ready for training with one layer of each kind; the others are copies.

An estimate is made of a model of 32 to 80 layers, nearly all alike: an adapter in each, and the
test of each whether it can be fused, would take most of its time.
"""

from __future__ import annotations

import copy
import re
from collections import Counter, OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
    from peft import PeftConfig
    from transformers import PreTrainedModel

__all__ = ["repeated_layers"]

# What a LoraConfig says of single layers, or of weights that are no layer's own
_BY_LAYER = (
    *("layers_to_transform", "layers_pattern", "rank_pattern", "alpha_pattern"),
    *("layer_replication", "target_parameters"),
)
_BY_NAME = ("target_modules", "exclude_modules", "modules_to_save")
_OF_THE_LAYER = ("layer_idx", "layer_index")  # its number, which is no kind


@contextmanager
def repeated_layers(
    base: PreTrainedModel, layers: nn.ModuleList | None, adapter: PeftConfig | None, policy: Any
) -> Iterator[None]:
    """Leave one layer of each kind in `layers`; at the end of the `with` block copies fill it.

    All stay where the device is another than 'meta', or where layers that are alike may be treated
    otherwise: by an adapter that names single ones, or a policy that computes every k-th again.

    Args:
        base: the model.
        layers: its layers, changed in place; None if they are not known.
        adapter: what will be attached in the block.
        policy: which layers will be computed again.
    """
    if (
        layers is None
        or base.device.type != "meta"
        or policy not in (False, True, "auto")
        or not _is_for_all(adapter)
        or _has_shared_weights(base, layers)
    ):
        yield
        return
    whole: dict[str, Any] = dict(layers._modules)
    first: dict[Any, str] = {}
    likes = {name: first.setdefault(_kind(layer), name) for name, layer in whole.items()}
    layers._modules = {name: whole[name] for name in first.values()}
    try:
        yield
    finally:
        made = layers._modules
        layers._modules = {
            name: made[name] if name == like else _copied(made[like], whole[name])
            for name, like in likes.items()
        }


def _is_for_all(adapter: PeftConfig | None) -> bool:
    """Whether an adapter treats layers that are alike alike."""
    if adapter is None:
        return True
    if type(adapter).__name__ != "LoraConfig" or any(getattr(adapter, n, None) for n in _BY_LAYER):
        return False
    for given in (getattr(adapter, name, None) for name in _BY_NAME):
        if isinstance(given, str):
            if re.search(r"\d", given):  # a pattern, which may say a layer's number
                return False
        elif any(part.isdigit() for name in given or () for part in name.split(".")):
            return False
    return True


def _has_shared_weights(base: PreTrainedModel, layers: nn.ModuleList) -> bool:
    """Whether a layer has a weight that another one, or the rest of the model, has as well."""
    owners = Counter(
        id(weight) for module in base.modules() for weight in module.parameters(recurse=False)
    )
    counts = Counter(id(weight) for layer in layers for weight in layer.parameters())
    return any(owners[key] > 1 or count > 1 for key, count in counts.items())


def _kind(layer: nn.Module) -> Any:
    """What two layers that are alike have in common: all but their number."""
    parts = []
    for name, module in layer.named_modules():
        weights = [
            (key, type(p), p.shape, p.dtype, p.requires_grad)
            for key, p in module.named_parameters(recurse=False)
        ]
        buffers = [(key, b.shape, b.dtype) for key, b in module.named_buffers(recurse=False)]
        settings = [
            (key, _shown(value))
            for key, value in vars(module).items()
            if key not in (*_OF_THE_LAYER, "_parameters", "_buffers", "_modules")
        ]
        parts.append((name, type(module), repr(weights), repr(buffers), tuple(settings)))
    return tuple(parts)


def _shown(value: Any) -> Any:
    """Something that is equal for equal settings; other objects must be the same."""
    simple = (int, float, str, type(None), torch.dtype, torch.device)
    if isinstance(value, (dict, set, list, tuple)):
        items = value.items() if isinstance(value, dict) else value
        return (type(value), repr([_shown(item) for item in items]))
    return repr(value) if isinstance(value, simple) else id(value)


def _copied(module: Any, original: nn.Module) -> Any:
    """A module of the same kind, with weights of its own, and the number of the original."""
    numbers = {
        key: vars(part)[key]
        for part in original.modules()
        for key in _OF_THE_LAYER
        if key in vars(part)
    }
    return _copy(module, numbers)


def _copy(module: Any, numbers: dict[str, int]) -> Any:
    new = copy.copy(module)
    for key, value in vars(module).items():
        if type(value) in (dict, OrderedDict, set, list):
            new.__dict__[key] = copy.copy(value)
        elif key in numbers:
            new.__dict__[key] = numbers[key]
    for key, weight in module._parameters.items():
        new._parameters[key] = None if weight is None else _fresh(weight, new)
    for key, child in module._modules.items():
        new._modules[key] = None if child is None else _copy(child, numbers)
    return new


def _fresh(weight: nn.Parameter, owner: nn.Module) -> nn.Parameter:
    new = torch.Tensor._make_subclass(type(weight), torch.empty_like(weight), weight.requires_grad)
    vars(new).update(vars(weight))
    if "module" in vars(new):  # bitsandbytes' weights know whose they are
        vars(new)["module"] = owner
    return new
