"""The number formats that DeepSpeed's engine is told, and the wait for its operator on a CPU."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from xtune.models.precision import Precision

__all__ = ["announce_compilation", "with_precision"]

logger = logging.getLogger(__name__)


def announce_compilation() -> None:
    """Say what the first start on a CPU waits for, and how it may wait for ever."""
    from torch.utils.cpp_extension import get_default_build_root

    root = Path(os.environ.get("TORCH_EXTENSIONS_DIR") or get_default_build_root())
    if not any(root.rglob("deepspeed_shm_comm.so")):
        logger.info("DeepSpeed compiles an operator for the CPU, once; it takes a minute or more")
    for lock in root.rglob("deepspeed_shm_comm/lock"):
        logger.warning(
            "DeepSpeed waits for another process that compiles its operator. If there is none, one "
            "was killed at it: delete %s",
            lock,
        )


def with_precision(
    settings: Mapping[str, Any], precision: Precision, *, all_is_trained: bool
) -> dict[str, Any]:
    """Return an engine's settings with the number formats of the run.

    Args:
        settings: as `read_engine_settings` gave them: nothing in them is 'auto'.
        precision: of the run.
        all_is_trained: the whole model, or an adapter on a frozen base.
    """
    fp16 = precision.compute_dtype == torch.float16
    bf16 = precision.compute_dtype == torch.bfloat16
    filled = {
        # Gradients are exchanged, and summed over micro-batches, in fp32; stage 1 has no sum of its
        # own for them.
        "communication_data_type": "fp32",
        **settings,
        "fp16": {**settings.get("fp16", {}), "enabled": fp16},
        "bf16": {**settings.get("bf16", {}), "enabled": bf16 and all_is_trained},
        "torch_autocast": {
            "enabled": bf16 and not all_is_trained,
            "dtype": "bfloat16",
            "lower_precision_safe_modules": [],
        },
    }
    if filled["bf16"]["enabled"] and settings["zero_optimization"]["stage"] > 1:
        filled.setdefault("data_types", {"grad_accum_dtype": "fp32"})
    return filled
