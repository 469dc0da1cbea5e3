"""A model folder for other programs, with an adapter merged in; read back before it counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xtune.checkpoint.disk import whole_folder
from xtune.checkpoint.export import write_model
from xtune.errors import ModelError, UsageError
from xtune.models import load_adapter, load_config, load_model, load_tokenizer, merge_adapter
from xtune.models.families import Layout, family_of_config

__all__ = ["Exported", "export_model", "published_dtype"]

_PROBE = 24  # tokens
_TOLERATED = {torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 5e-2}


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        layout: 'transformers' or 'original'.
        dtype: of the weights, as 'bfloat16'.
        parameters: how many.
        difference: between the logits before and after, relative to the largest.
    """

    layout: Layout
    dtype: str
    parameters: int
    difference: float


def export_model(
    name: str,
    out: Path,
    *,
    adapter: Path | None,
    notes: Mapping[str, Any],
    layout: Layout | None = None,
    dtype: str = "auto",
) -> Exported:
    """Load a model, merge its adapter, write it, read it back, compare the logits.

    Args:
        name: what `load_model` takes.
        out: a folder that is not there yet; it gets its name when all is well.
        adapter: an adapter's folder, or None.
        notes: for xtune.json: template, stop words and system prompt of the training.
        layout: see `write_model`. None: 'transformers' if the family has it.
        dtype: 'auto' is what the model's config.json says, else fp32.

    Raises:
        UsageError: a layout that the model does not have.
        ModelError: what was written does not give the same logits; nothing is left of it.
        CheckpointError: the disk is full; nothing is left.
    """
    config = load_config(name)
    family = family_of_config(config)
    if layout == "original" and family is None:
        raise UsageError(
            f"{config.model_type!r} is published in transformers' own layout: leave --layout out"
        )
    layouts = ("transformers",) if family is None else family.layouts(config)
    layout = layout or layouts[0]
    if layout not in layouts:
        raise UsageError(
            f"no architecture of transformers computes {type(family).__name__} as "
            f"{name!r} has it; its layouts: {', '.join(layouts)}"
        )
    number = published_dtype(config) if dtype == "auto" else dtype
    llm: Any = load_model(name, dtype=number)
    has_tokenizer = adapter is not None and (adapter / "tokenizer_config.json").is_file()
    tokenizer = load_tokenizer(str(adapter) if has_tokenizer else name)
    if adapter is not None:
        llm = merge_adapter(load_adapter(llm, adapter))
    with whole_folder(out) as part:
        write_model(part, llm, tokenizer, notes, layout=layout)
        probe = _probe(llm)
        before, size = _logits(llm, probe), llm.num_parameters()
        del llm  # two of them may not fit
        difference = _difference(before, _logits(load_model(str(part), dtype=number), probe))
        if not difference <= _TOLERATED[before.dtype]:
            raise ModelError(
                f"what was written gives other logits (relative difference {difference:.1e}), so "
                f"it is deleted again. Please report this with the model's name: {name}"
            )
    return Exported(layout, str(before.dtype).removeprefix("torch."), size, difference)


def published_dtype(config: Any) -> str:
    """Return what a checkpoint's config.json says its weights are in; 'fp32' if nothing."""
    stored = config.dtype or getattr(config, "original_config", {}).get("torch_dtype") or "fp32"
    return str(stored).removeprefix("torch.")


def _probe(llm: Any) -> torch.Tensor:
    last = llm.config.get_text_config().vocab_size - 1
    return torch.linspace(0, last, _PROBE, dtype=torch.long)[None]


@torch.no_grad()
def _logits(llm: Any, probe: torch.Tensor) -> torch.Tensor:
    return llm(input_ids=probe, use_cache=False).logits[0]


def _difference(before: torch.Tensor, after: torch.Tensor) -> float:
    size = before.float().abs().max().clamp(min=1e-6)
    return float((before.float() - after.float()).abs().max() / size)
