"""Let a model that is being trained answer, and give it back as it was."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import PreTrainedModel

from xtune.models.attention.alike import NAME, attends_alike

__all__ = ["base_of", "checkpoints_layers", "generation_mode"]


def base_of(llm: Any) -> PreTrainedModel:
    """Return the transformers model inside `llm`, a PeftModel or that model itself."""
    return llm.get_base_model() if hasattr(llm, "get_base_model") else llm


def checkpoints_layers(model: torch.nn.Module) -> bool:
    """Whether layers are run a second time in the backward pass."""
    return any(getattr(module, "gradient_checkpointing", False) for module in model.modules())


@contextmanager
def generation_mode(llm: torch.nn.Module, *, alike: bool = False) -> Iterator[None]:
    """Evaluation mode, transformers' own attention and no gradients, for the `with` block.

    With packed-document attention a padded batch has no meaning; and checkpointing, which only
    works in training mode, would switch the key-value cache off.

    Args:
        llm: a PreTrainedModel or PeftModel, with or without xtune's attention.
        alike: answers are written: no row may change by what is computed next to it, which in bf16
            on a CPU takes an attention of our own, attention/alike.py.
    """
    base = base_of(llm)
    attention, training = base.config._attn_implementation, llm.training
    # None: the best that the family supports, SDPA or its own eager function
    best = base.get_correct_attn_implementation(None)
    base.set_attn_implementation(NAME if alike and attends_alike(base) else best)
    llm.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        base.set_attn_implementation(attention)
        llm.train(training)
