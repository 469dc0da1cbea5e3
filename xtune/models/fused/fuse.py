"""Which layers of a model are fused: decided layer by layer, said once in the log."""

from __future__ import annotations

import logging
from collections import Counter

from torch import nn

from xtune.models.fused.lora_linear import fuse_lora
from xtune.models.fused.rms_norm import fuse_norm, is_norm
from xtune.models.fused.rotary_attention import fuse_attention, is_attention

__all__ = ["fuse"]

logger = logging.getLogger(__name__)

_KINDS = {
    "adapter layers": (lambda layer: hasattr(layer, "lora_A"), fuse_lora),
    "attention layers": (is_attention, fuse_attention),
    "norms": (is_norm, fuse_norm),
}


def fuse(llm: nn.Module, *, level: int = logging.INFO) -> dict[str, int]:
    """Fuse what can be fused in a language model, in place.

    A layer is fused only where its own code, asked with random numbers, computes the same.
    Parameters, their names and what is saved stay as they are.

    Args:
        llm: a transformers model or a PeftModel, with weights or on 'meta'.
        level: of the log lines.

    Returns:
        What was fused -> how many layers.
    """
    done: Counter[str] = Counter()
    left: Counter[str] = Counter()
    for layer in list(llm.modules()):
        for kind, (is_one, fuse_one) in _KINDS.items():
            if is_one(layer):
                (done if fuse_one(layer) else left)[kind] += 1
    logger.log(level, "fused: %s", _listed(done))
    if left:
        logger.log(level, "left as their own code computes them: %s", _listed(left))
    return dict(done)


def _listed(counts: Counter[str]) -> str:
    return ", ".join(f"{counts[kind]} {kind}" for kind in _KINDS if counts[kind]) or "nothing"
