"""A model folder for other programs, with an adapter merged in; read back before it counts."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xtune.checkpoint.disk import whole_folder
from xtune.errors import ModelError, UsageError
from xtune.export.export import write_model
from xtune.export.parity import logits_of, relative_difference
from xtune.export.prepared import Prepared, merged, opened, prepared
from xtune.export.proof.dialogues import Dialogue
from xtune.export.proof.prove import Outcome, prove, require_passed
from xtune.export.proof.readers import TransformersReader, end_ids_of
from xtune.export.proof.report import REPORT, UNCHECKED, report_of
from xtune.models import load_config, load_model, load_tokenizer
from xtune.models.families import Layout, family_of_config
from xtune.models.loading import is_reward_model
from xtune.models.reward_adapters import is_reward_adapter
from xtune.models.sequence_classifier import load_classifier
from xtune.models.vocabulary_rows import without_rows

__all__ = ["Exported", "export_model", "published_dtype", "require_rows", "require_writes_text"]

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
        outcome: of the proof that it answers as chat does; None of a reward model.
    """

    layout: Layout
    dtype: str
    parameters: int
    difference: float
    outcome: Outcome | None

    @property
    def scores(self) -> bool:
        """Whether it is a reward model."""
        return self.outcome is None


def export_model(
    name: str,
    out: Path,
    *,
    adapter: Path | None,
    notes: Mapping[str, Any],
    own: Sequence[Dialogue] = (),
    layout: Layout | None = None,
    dtype: str = "auto",
) -> Exported:
    """Load a model, merge its adapter, write it, read it back, compare the logits.

    Args:
        name: what `load_model` takes.
        out: a folder that is not there yet; it gets its name when all is well.
        adapter: an adapter's folder, or None.
        notes: for xtune.json: template, stop words and system prompt of the training.
        own: dialogues of the run, which a proof asks.
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
    scores = is_reward_model(config) or (adapter is not None and is_reward_adapter(adapter))
    if scores and layout == "original":
        raise UsageError(
            f"{name!r} with its score is a class of transformers, and has no place in the layout "
            "that the model was published in: leave --layout out"
        )
    layouts = ("transformers",) if scores or family is None else family.layouts(config)
    layout = layout or layouts[0]
    if layout not in layouts:
        raise UsageError(
            f"no architecture of transformers computes {type(family).__name__} as "
            f"{name!r} has it; its layouts: {', '.join(layouts)}"
        )
    number = published_dtype(config) if dtype == "auto" else dtype
    load = load_classifier if scores else load_model
    ready = None
    if scores:
        session = opened(name, adapter, notes, load=load)
        tokenizer = session.tokenizer
        llm, before = merged(session.loaded(number), adapter)
    else:
        ready = prepared(name, adapter, notes, own, dtype=number)
        llm, before, tokenizer = ready.llm, ready.logits, ready.tokenizer
        ready.llm = None
    require_rows(llm, tokenizer, name)
    with whole_folder(out) as part:
        write_model(part, llm, tokenizer, notes, layout=layout)
        written, size = logits_of(llm), llm.num_parameters()
        llm = None  # two of them may not fit
        llm = load(str(part), dtype=number)
        read = logits_of(llm)
        change = relative_difference(written, read)
        if not change <= _TOLERATED[written.dtype]:
            raise ModelError(
                f"what was written gives other logits (relative difference {change:.1e}), so "
                f"it is deleted again. Please report this with the model's name: {name}"
            )
        outcome = None if ready is None else _proved(part, out.name, llm, ready, layout)
    difference = relative_difference(before, read)
    return Exported(layout, str(read.dtype).removeprefix("torch."), size, difference, outcome)


def _proved(part: Path, title: str, llm: Any, ready: Prepared, layout: Layout) -> Outcome:
    """Compare what is read back with chat, and write the table.

    Raises:
        ModelError: it answers otherwise; says how.
    """
    number = {torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16"}[llm.dtype]
    if layout == "transformers":
        from transformers import AutoTokenizer

        tokenizer: Any = AutoTokenizer.from_pretrained(part)
    else:  # with code of the original's, which is not run here
        tokenizer = load_tokenizer(str(part))
        # Qwen's own tokenizer has no place for a template; chat knows it from the notes
        tokenizer.chat_template = tokenizer.chat_template or ready.tokenizer.chat_template
    name = "transformers" if layout == "transformers" else "xtune (original layout)"
    reader = TransformersReader(name, llm, tokenizer, end_ids_of(part))
    outcome = prove(ready.reference, reader, number, ready.plain)
    require_passed([outcome])
    text = report_of(
        title,
        ready.reference,
        [outcome],
        compared_with=ready.compared_with,
        unchecked=[f"{program}: not run here" for program in UNCHECKED],
        notices=[],
    )
    (part / REPORT).write_text(text, encoding="utf-8")
    return outcome


def require_writes_text(name: str, adapter: Path | None) -> None:
    """Refuse a reward model, whose scores the format has no place for.

    Args:
        name: what `load_model` takes.
        adapter: an adapter's folder, or None.

    Raises:
        ModelError: it is one.
    """
    if is_reward_model(load_config(name)) or (adapter is not None and is_reward_adapter(adapter)):
        raise ModelError(
            f"{name if adapter is None else adapter} is a reward model, which writes no text: "
            "export it as a folder (--format transformers)"
        )


def require_rows(llm: Any, tokenizer: Any, name: str) -> None:
    """Warn of tokens that the model has no row for; refuse if every dialogue has one of them.

    Args:
        llm: the model.
        tokenizer: its own, as it is exported.
        name: what the model is called in messages.
    """
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


def published_dtype(config: Any) -> str:
    """Return what a checkpoint's config.json says its weights are in; 'fp32' if nothing."""
    stored = config.dtype or getattr(config, "original_config", {}).get("torch_dtype") or "fp32"
    return str(stored).removeprefix("torch.")
