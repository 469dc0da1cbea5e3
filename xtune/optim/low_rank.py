"""Optimizers for all weights whose state is of low rank: GaLore's and APOLLO's, by their authors.

    GaLoreAdamW   the moments of the gradient's projection on its r strongest directions
                  (Zhao et al. 2024, arXiv 2403.03507); galore-torch
    APOLLOAdamW   a step in the gradient's direction, its size channel by channel from the moments
                  of a random projection (Zhu et al. 2024, arXiv 2412.05270); apollo-torch

As their authors have it, the linear layers of attention and MLP are projected; embeddings, norms
and the head keep AdamW's whole state. For a matrix [M, N], M <= N, Adam keeps 8 M N bytes, these
8 r N and the projection, 4 r M.

The libraries keep a projection as a Python object in the optimizer's state. In a state that is
saved it is a dict of tensors and numbers, through torch's own hooks.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn

from xtune.errors import ConfigError
from xtune.registry import OPTIMIZERS

__all__ = ["LOW_RANK", "APOLLOAdamW", "GaLoreAdamW", "is_projected"]

_PROJECTOR = "projector"


def is_projected(name: str, parameter: nn.Parameter) -> bool:
    """Tell whether a parameter is the matrix of a linear layer within a numbered layer.

    Args:
        name: dotted.
        parameter: of that name.

    >>> weight = nn.Parameter(torch.zeros(4, 4))
    >>> is_projected("llm.model.layers.0.mlp.up_proj.weight", weight)
    True
    >>> is_projected("llm.lm_head.weight", weight)
    False
    """
    is_of_layer = re.search(r"\.\d+\..+\.weight$", name) is not None
    return parameter.ndim == 2 and is_of_layer and "lora_" not in name  # of low rank already


@OPTIMIZERS.register_module()
def GaLoreAdamW(  # noqa: N802
    params: Iterable[dict[str, Any]],
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    rank: int = 128,
    update_proj_gap: int = 200,
    scale: float = 0.25,
) -> torch.optim.Optimizer:
    """AdamW on the strongest directions of each gradient; needs `pip install '.[galore]'`.

    Args:
        params: groups; those with `projected=True` are projected.
        lr: learning rate.
        betas: decay of the moments.
        eps: added to the root of the second moment.
        weight_decay: decoupled from the gradient.
        rank: r, directions of each matrix.
        update_proj_gap: steps between two singular value decompositions, which are slow.
        scale: of the projected step; the authors' 0.25.

    Raises:
        ConfigError: galore-torch is not installed.
    """
    further = {"rank": rank, "update_proj_gap": update_proj_gap, "scale": scale, "proj_type": "std"}
    made = _library("galore_torch", "galore").GaLoreAdamW(
        _groups(params, further),
        lr=lr,
        betas=betas,
        eps=eps,
        weight_decay=weight_decay,
        no_deprecation_warning=True,
    )
    return _with_plain_state(made)


@OPTIMIZERS.register_module()
def APOLLOAdamW(  # noqa: N802
    params: Iterable[dict[str, Any]],
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.999),
    eps: float = 1e-8,
    weight_decay: float = 0.0,
    rank: int = 256,
    update_proj_gap: int = 200,
    scale: float = 1.0,
    scale_type: Literal["channel", "tensor"] = "channel",
) -> torch.optim.Optimizer:
    """APOLLO; `rank=1, scale_type='tensor', scale=128` is APOLLO-Mini. `pip install apollo-torch`.

    Its library is for non-commercial use only (CC-BY-NC), so that no extra of xtune installs it.

    Args:
        params: groups; those with `projected=True` are projected.
        lr: learning rate.
        betas: decay of the moments.
        eps: added to the root of the second moment.
        weight_decay: decoupled from the gradient.
        rank: r, of the random projection.
        update_proj_gap: steps until another one is drawn.
        scale: of the step; the authors' 1 for channels and 128 for whole tensors.
        scale_type: whether a step's size is chosen for each channel or each matrix.

    Raises:
        ConfigError: apollo-torch is not installed.
    """
    further = {
        "rank": rank,
        "update_proj_gap": update_proj_gap,
        "scale": scale,
        "scale_type": scale_type,
        "proj": "random",
        "proj_type": "std",
    }
    made = _library("apollo_torch", None).APOLLOAdamW(
        _groups(params, further), lr=lr, betas=betas, eps=eps, weight_decay=weight_decay
    )
    return _with_plain_state(made)


LOW_RANK = frozenset({GaLoreAdamW, APOLLOAdamW})  # what `build_optimizer` gives projected groups


def _library(module: str, extra: str | None) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = f"'.[{extra}]'" if extra else module.replace("_", "-")
        raise ConfigError(f"this optimizer needs {module}: pip install {package}") from error


def _groups(params: Iterable[dict[str, Any]], further: Mapping[str, Any]) -> list[dict[str, Any]]:
    groups = [dict(group) for group in params]
    for group in groups:
        if group.pop("projected", False):
            group |= further
    if not any("rank" in group for group in groups):
        raise ConfigError(
            "GaLore and APOLLO project the gradients of whole linear layers, and none is trained: "
            "with an adapter use optimizer.type=AdamW, or train all weights (a 'full' config)"
        )
    return groups


def _with_plain_state(optimizer: torch.optim.Optimizer) -> torch.optim.Optimizer:
    optimizer.register_state_dict_post_hook(_plain)
    optimizer.register_load_state_dict_pre_hook(_with_projectors)
    return optimizer


def _plain(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """Dicts in place of projectors: attributes that are tensors and numbers, and no others."""
    return state | {
        "state": {
            index: {
                key: dict(vars(value)) if key == _PROJECTOR else value
                for key, value in values.items()
            }
            for index, values in state["state"].items()
        }
    }


def _with_projectors(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
    """Projectors in place of dicts, made by the optimizer's own library."""
    members = [(group, p) for group in optimizer.param_groups for p in group["params"]]
    found = {
        index: {
            key: _projector(optimizer, members[index], value) if key == _PROJECTOR else value
            for key, value in values.items()
        }
        for index, values in state["state"].items()
    }
    return state | {"state": found}


def _projector(
    optimizer: Any, member: tuple[dict[str, Any], nn.Parameter], saved: Mapping[str, Any]
) -> Any:
    group, parameter = member
    package = type(optimizer).__module__.partition(".")[0]
    if package == "galore_torch":
        projector = importlib.import_module("galore_torch.galore_projector").GaLoreProjector(
            group["rank"]
        )
    else:
        projector = importlib.import_module("apollo_torch.random_projector").GradientProjector(
            group["rank"]
        )
    if saved.keys() != vars(projector).keys():
        raise ConfigError(
            f"the checkpoint's projection has {', '.join(sorted(saved))}, and that of the "
            f"installed {package} {', '.join(sorted(vars(projector)))}: install the version that "
            "wrote it"
        )
    for key, value in saved.items():
        moved = value.to(parameter.device) if isinstance(value, Tensor) else value
        setattr(projector, key, moved)
    return projector
