"""A model folder for other programs, with an adapter merged in; read back before it counts."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xtune.checkpoint.disk import whole_folder
from xtune.errors import ModelError, UsageError
from xtune.export.export import write_model
from xtune.export.parity import (
    Answers,
    answers_of,
    logits_of,
    parity_problem,
    relative_difference,
)
from xtune.models import load_adapter, load_config, load_model, load_tokenizer, merge_adapter
from xtune.models.families import Layout, family_of_config
from xtune.models.loading import is_reward_model
from xtune.models.reward_adapters import is_reward_adapter
from xtune.models.sequence_classifier import load_classifier
from xtune.models.vocabulary_rows import without_rows

__all__ = ["Exported", "export_model", "published_dtype"]

_log = logging.getLogger(__name__)

# Between what was written and what is read back, which are the same weights
_TOLERATED = {torch.float32: 1e-5, torch.float16: 1e-2, torch.bfloat16: 5e-2}


@dataclass(frozen=True, slots=True)
class Exported:
    """What was written.

    Attributes:
        layout: 'transformers' or 'original'.
        dtype: of the weights, as 'bfloat16'.
        parameters: how many.
        difference: between the logits of the base with its adapter and those of the model as it
            is read back, relative to the largest.
        scores: it is a reward model.
    """

    layout: Layout
    dtype: str
    parameters: int
    difference: float
    scores: bool = False


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
        ModelError: the token that ends a text has no row; or what was merged or written does not
            give the logits of the base with its adapter on it; nothing is left of it.
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
    scores = is_reward_model(config) or (adapter is not None and is_reward_adapter(adapter))
    load = load_classifier if scores else load_model
    llm: Any = load(name, dtype=number)
    has_tokenizer = adapter is not None and (adapter / "tokenizer_config.json").is_file()
    tokenizer = load_tokenizer(str(adapter) if has_tokenizer else name)
    if adapter is None:
        reference = logits_of(llm)
    else:
        llm, reference = _merged(load_adapter(llm, adapter))
    _require_rows(llm, tokenizer, name)
    with whole_folder(out) as part:
        write_model(part, llm, tokenizer, notes, layout=layout)
        written, size = logits_of(llm), llm.num_parameters()
        del llm  # two of them may not fit
        read = logits_of(load(str(part), dtype=number))
        change = relative_difference(written, read)
        if not change <= _TOLERATED[written.dtype]:
            raise ModelError(
                f"what was written gives other logits (relative difference {change:.1e}), so "
                f"it is deleted again. Please report this with the model's name: {name}"
            )
    difference = relative_difference(reference, read)
    return Exported(layout, str(read.dtype).removeprefix("torch."), size, difference, scores)


def _require_rows(llm: Any, tokenizer: Any, name: str) -> None:
    """Warn of tokens that the model has no row for; refuse if every dialogue has one of them."""
    always = (tokenizer.bos_token, tokenizer.eos_token)
    rows = llm.get_input_embeddings().weight.shape[0]
    found = without_rows(tokenizer.get_vocab(), rows, name, always=always)
    if found is None:
        return
    what, ends = found
    if ends:
        raise ModelError(
            f"{what}, and the tokens that begin or end a text are among them: every program would "
            "fail on it. Export with the tokenizer that the model was trained with"
        )
    _log.warning("%s. A text that has one of them will fail in the programs that load this", what)


def _merged(peft_model: Any) -> tuple[Any, torch.Tensor]:
    """The plain model, and the logits that its base and the adapter gave before they were merged.

    Raises:
        ModelError: the plain model computes something else.
    """
    before: Answers = answers_of(peft_model.eval())
    llm = merge_adapter(peft_model)
    if problem := parity_problem(before, answers_of(llm, list(before.layers))):
        raise ModelError(
            f"the merged model is not the base with its adapter: {problem}. Nothing was written; "
            "use the adapter as it is (xtune chat MODEL --adapter DIR), and please report this "
            "with the model's name and adapter_config.json"
        )
    return llm, before.logits


def published_dtype(config: Any) -> str:
    """Return what a checkpoint's config.json says its weights are in; 'fp32' if nothing."""
    stored = config.dtype or getattr(config, "original_config", {}).get("torch_dtype") or "fp32"
    return str(stored).removeprefix("torch.")
