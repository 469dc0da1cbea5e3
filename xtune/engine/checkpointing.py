"""`gradient_checkpointing='auto'`: as few layers as will fit are computed again in a step.

The memory estimate of each policy is compared with what the device has left, 15 % of it kept free
as everywhere.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import psutil
import torch

from xtune.models.build import build_model
from xtune.models.memory import fits, memory_of
from xtune.models.vocabulary import Pieces

if TYPE_CHECKING:
    from xtune.engine.strategies.base import Strategy

__all__ = ["choose_checkpointing", "free_memory"]

logger = logging.getLogger(__name__)

_GIB = 2**30
_POLICIES: tuple[bool | int, ...] = (False, 4, 3, 2, True)  # each keeps less, and takes longer


def choose_checkpointing(
    model_cfg: Mapping[str, Any],
    strategy: Strategy,
    tokens: int,
    trained_share: float = 1.0,
    pieces: Pieces | None = None,
    memory: int | None = None,
) -> dict[str, Any]:
    """Return the fastest policy that is likely to fit; all layers where none is.

    Where a strategy takes the model apart the estimate of a whole one says nothing, and every
    layer is computed again.

    Args:
        model_cfg: the sheet's `model` dict.
        strategy: of the run.
        tokens: of one micro-batch, on one device.
        trained_share: share of the tokens that have a label, 0 to 1.
        pieces: the tokens that the run adds.
        memory: bytes for the whole run; default what the device has left.

    Returns:
        The settings of `model` that are decided: gradient_checkpointing and activation_offload.
    """
    wants_offload = bool(model_cfg.get("activation_offload"))
    if strategy.shards_model:
        logger.info("gradient_checkpointing: every layer; it is not chosen for sharded models")
        return {"gradient_checkpointing": True, "activation_offload": wants_offload}
    memory = free_memory(strategy.device) if memory is None else memory
    precision = strategy.precision
    model = build_model(model_cfg, device="meta", precision=precision, pieces=pieces)
    for policy in _POLICIES:
        decided = {
            "gradient_checkpointing": policy,
            "activation_offload": wants_offload and policy is not False,
        }
        settings = {**model_cfg, **decided}
        estimate = memory_of(model, settings, precision, tokens, trained_share, pieces)
        if fits(estimate.total / _GIB, memory / _GIB):
            break
    logger.info(
        "gradient_checkpointing: %s; about %.1f GiB of %.1f GiB that are free",
        {0: "no layer", 1: "every layer"}.get(int(policy), f"one layer of {int(policy)}"),
        estimate.total / _GIB,
        memory / _GIB,
    )
    return decided


def free_memory(device: torch.device) -> int:
    """Return the bytes that this process may still take on a device: the CPU or a GPU.

    A limit set with `torch.cuda.set_per_process_memory_fraction` is kept to.
    """
    if device.type != "cuda":
        return psutil.virtual_memory().available
    free, total = torch.cuda.mem_get_info(device)
    limit = int(total * torch.cuda.get_per_process_memory_fraction(device))
    return min(free, limit - torch.cuda.memory_reserved(device))
