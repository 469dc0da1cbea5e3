"""What FSDP and ZeRO have in common: a model that is taken apart layer by layer."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from xtune.errors import ConfigError
from xtune.models.algorithms.base import Algorithm

__all__ = [
    "cast_weights",
    "quiet_deprecations",
    "refuse_adapter_on_head",
    "refuse_documents_apart",
    "refuse_other_optimizers",
    "with_weights",
]


def cast_weights(
    module: nn.Module, *, frozen: torch.dtype, trained: torch.dtype = torch.float32
) -> None:
    """Bring weights that are still whole to the dtypes of a run."""
    for parameter in module.parameters():
        if type(parameter.data) is Tensor and parameter.is_floating_point() and parameter.numel():
            parameter.data = parameter.data.to(trained if parameter.requires_grad else frozen)


def quiet_deprecations() -> None:
    """Say nothing of what FSDP and DeepSpeed call by names that torch 2.13 calls old."""
    warnings.filterwarnings("ignore", r"`torch\.distributed\.\w+` is deprecated", FutureWarning)


def refuse_adapter_on_head(model: Algorithm, strategy: str) -> None:
    """Refuse an adapter on the head: processes would wait for each other without end.

    Such a head is called once for each chunk of trained tokens, of which one process has more than
    another, and each call puts the head together on all of them.

    Raises:
        ConfigError: there is one.
    """
    if not all(backbone.head.is_matrix for backbone in model.backbones()):
        raise ConfigError(
            f"{strategy} cannot train an adapter on the head. Leave the head out of "
            "lora.target_modules, train it whole (lora.modules_to_save=['lm_head']), or use "
            "--strategy fsdp or --deepspeed deepspeed_zero2"
        )


def refuse_documents_apart(model: Algorithm, strategy: str) -> None:
    """Refuse a family that runs once for each document: processes would not meet.

    Raises:
        ConfigError: it is one.
    """
    for backbone in model.backbones():
        if backbone.why_apart is not None:
            raise ConfigError(
                f"{backbone.family} is run document by document, and the processes of {strategy} "
                "would not run it equally often: use DDPStrategy, or ZeRO 1 or 2 "
                "(--deepspeed deepspeed_zero2)"
            )


def refuse_other_optimizers(optimizer: torch.optim.Optimizer, strategy: str) -> None:
    """Refuse an optimizer whose state is not known to work in parts: those of bitsandbytes.

    Raises:
        ConfigError: it is not one of torch's.
    """
    kind = type(optimizer)
    if not kind.__module__.startswith("torch."):
        raise ConfigError(
            f"{kind.__name__} of {kind.__module__} cannot hold its state in parts: use "
            f"optimizer.type=AdamW with {strategy}"
        )


def with_weights(llm: Any, weights: dict[str, Tensor]) -> Any:
    """Return a model like `llm` that holds `weights`, to be saved."""
    with torch.device("meta"):
        whole = type(llm)(copy.deepcopy(llm.config))
    whole.load_state_dict(weights, assign=True, strict=False)
    whole.tie_weights()
    whole.name_or_path = llm.name_or_path
    return whole
