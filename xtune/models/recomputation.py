"""Which layers are computed again in the backward pass, and where what they keep waits meanwhile.

    False    every layer keeps all that its backward pass needs
    k        the first layer of every k keeps its input only, and is computed again
    True     every layer does: k = 1
    'auto'   the runner chooses one of these by the memory estimate; see planning/recomputation.py

Computing a layer again costs its forward pass: with all layers a third of a full fine-tuning's
time and half of LoRA's more, since LoRA has no gradient of frozen weights to compute.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from transformers import PreTrainedModel

from xtune.errors import ConfigError, ModelError

__all__ = ["Checkpointing", "checkpoint_layers"]

logger = logging.getLogger(__name__)

Checkpointing = bool | int | Literal["auto"]


def checkpoint_layers(base: PreTrainedModel, policy: Checkpointing, *, offload: bool) -> None:
    """Set up a model's layers; nothing is done with policy False.

    Args:
        base: a transformers model.
        policy: as in the module docstring; 'auto' stands for True, since only who knows the
            tokens of a step and the device can choose: the runner does.
        offload: keep the layers' inputs in pinned memory of the host, T x D numbers a layer.

    Raises:
        ConfigError: a k below 1, or offload of nothing.
        ModelError: the family cannot compute its layers again.
    """
    if not policy:
        if offload:
            raise ConfigError(
                "activation_offload=True moves the inputs of checkpointed layers, and there are "
                "none: set gradient_checkpointing to True, to k for every k-th layer, or to 'auto'"
            )
        return
    every = 1 if policy == "auto" else int(policy)
    if every < 1:
        raise ConfigError(
            f"gradient_checkpointing={policy!r}; allowed are False, True, 'auto', or k of 1 and "
            "above for every k-th layer"
        )
    # Non-reentrant: the reentrant kind gives no gradients at all where the embedding is frozen.
    settings: dict[str, Any] = {"every_n_layers": every}
    try:
        if hasattr(base, "activation_checkpointing_enable"):  # the name since transformers 5.2x
            base.activation_checkpointing_enable({"use_reentrant": False}, **settings)
        else:
            base.gradient_checkpointing_enable({"use_reentrant": False}, **settings)
    except ValueError as error:
        raise ModelError(f"{error} Set gradient_checkpointing=False") from error
    # transformers makes the embedding's output require a gradient, which only the reentrant kind
    # needs; here it would send the backward pass below the lowest trained layer for nothing.
    base.disable_input_require_grads()
    if offload:
        _offload_inputs(base)


def _offload_inputs(base: PreTrainedModel) -> None:
    # transformers' own `offload` asks for pinned memory on a CPU too, where there is none.
    if base.device.type == "cpu":
        logger.warning("activation_offload costs time and gains nothing here: the device is a CPU")
    layer: Any
    for layer in base.modules():
        if getattr(layer, "gradient_checkpointing", False):
            again = layer._gradient_checkpointing_func
            layer._gradient_checkpointing_func = functools.partial(_with_inputs_on_host, again)


def _with_inputs_on_host(checkpoint: Callable[..., Any], *arguments: Any) -> Any:
    # Within the checkpoint its own hooks are in force, so that these see its inputs only.
    with torch.autograd.graph.saved_tensors_hooks(_to_host, _from_host):
        return checkpoint(*arguments)


def _to_host(tensor: Tensor) -> tuple[torch.device, Tensor]:
    pinned = tensor.is_cuda  # so that the copy need not be waited for
    copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=pinned)
    return tensor.device, copy.copy_(tensor, non_blocking=pinned)


def _from_host(moved: tuple[torch.device, Tensor]) -> Tensor:
    device, copy = moved
    return copy.to(device, non_blocking=True)
