"""What FSDP and ZeRO have in common: a model that is taken apart layer by layer."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from xtune.errors import ConfigError

__all__ = [
    "cast_weights",
    "quiet_deprecations",
    "refuse_other_optimizers",
    "saved_buffers",
    "under_all_names",
    "with_weights",
]


def cast_weights(
    module: nn.Module, *, frozen: torch.dtype, trained: torch.dtype = torch.float32
) -> None:
    """Bring weights that are still whole to the dtypes of a run.

    Args:
        module: changed in place.
        frozen: of weights that are not trained.
        trained: of the others.
    """
    for parameter in module.parameters():
        if type(parameter.data) is Tensor and parameter.is_floating_point() and parameter.numel():
            parameter.data = parameter.data.to(trained if parameter.requires_grad else frozen)


def quiet_deprecations() -> None:
    """Say nothing of what FSDP and DeepSpeed call by names that torch 2.13 calls old."""
    warnings.filterwarnings("ignore", r"`torch\.distributed\.\w+` is deprecated", FutureWarning)


def refuse_other_optimizers(optimizer: torch.optim.Optimizer, strategy: str) -> None:
    """Refuse an optimizer whose state is not known to work in parts: those of bitsandbytes.

    Args:
        optimizer: that the sheet names.
        strategy: its words for the message: 'FSDPStrategy'.

    Raises:
        ConfigError: it is not one of torch's.
    """
    kind = type(optimizer)
    if not kind.__module__.startswith("torch."):
        raise ConfigError(
            f"{kind.__name__} of {kind.__module__} cannot hold its state in parts: use "
            f"optimizer.type=AdamW with {strategy}"
        )


def saved_buffers(module: nn.Module) -> dict[str, Tensor]:
    """Return the buffers that belong to a module's state, by name."""
    found = dict(module.named_buffers(remove_duplicate=False))
    return {name: found[name] for name in module.state_dict(keep_vars=True) if name in found}


def under_all_names(module: nn.Module, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return weights with each that stands under two names in a module under both of them.

    Args:
        module: whose they are.
        weights: by name; a shared one under the first of its names at least.
    """
    first: dict[int, str] = {}
    shared = {
        name: weights[known]
        for name, parameter in module.named_parameters(remove_duplicate=False)
        if (known := first.setdefault(id(parameter), name)) != name and name not in weights
    }
    return weights | shared


def with_weights(llm: Any, weights: dict[str, Tensor]) -> Any:
    """Return a model like `llm` that holds `weights`, to be saved.

    Args:
        llm: its weights may be anywhere, and in parts.
        weights: all of its state, by name; one that stands under two names, under either or both.
    """
    with torch.device("meta"):
        whole = type(llm)(copy.deepcopy(llm.config))
    whole.load_state_dict(under_all_names(llm, weights), assign=True)
    whole.tie_weights()
    whole.name_or_path = llm.name_or_path
    return whole
