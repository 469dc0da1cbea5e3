"""The shapes of a saved adapter's weights, and of those that a model has room for."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open

from xtune.errors import AdapterError

__all__ = ["Shapes", "difference", "fitting_shapes", "stored_shapes"]

Shapes = dict[str, tuple[int, ...]]
"""Name of a weight -> its shape."""


def fitting_shapes(peft_model: PeftModel) -> tuple[Shapes, Shapes]:
    """What an adapter of this kind must hold, and what it may: PEFT adds adapted embeddings."""
    must, may = (
        get_peft_model_state_dict(peft_model, save_embedding_layers=embeddings)
        for embeddings in (False, True)
    )
    return _shapes(must), _shapes(may)


def _shapes(state: Mapping[str, torch.Tensor]) -> Shapes:
    return {key: tuple(value.shape) for key, value in state.items()}


def stored_shapes(file: Path) -> Shapes:
    """Read the shapes in a safetensors file.

    Raises:
        AdapterError: it is damaged.
    """
    try:
        with safe_open(file, framework="pt") as tensors:
            return {key: tuple(tensors.get_slice(key).get_shape()) for key in tensors.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise AdapterError(f"{file} is damaged: {error}") from error


def difference(stored: Shapes, must: Shapes, may: Shapes) -> str:
    """The first weight that does not fit, in words; empty if all do.

    Args:
        stored: in the file.
        must: weights that must be there.
        may: weights that may be there, `must` among them.
    """
    for key in sorted(stored.keys() & may.keys()):
        if stored[key] != may[key]:
            return f"{key} is {list(stored[key])} in the file, {list(may[key])} would fit"
    if unknown := sorted(stored.keys() - may.keys()):
        return f"it changes {unknown[0]}, which the model does not have"
    if missing := sorted(must.keys() - stored.keys()):
        return f"it has no weight {missing[0]}"
    return ""
