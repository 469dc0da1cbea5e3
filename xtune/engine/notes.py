"""What xtune.json says next to a saved adapter or model: its base, its template, its beginning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xtune.data.map_fns.build import noted_name
from xtune.data.templates.end_ids import stop_words_of
from xtune.models.vocabulary import vocabulary_notes

if TYPE_CHECKING:
    from xtune.engine.run import Run

__all__ = ["notes_of"]


def notes_of(run: Run) -> dict[str, Any]:
    """Return what chat, export and a later training have to know of a run, for JSON."""
    cfg, recipe = run.cfg, run.recipe
    growth = vocabulary_notes(run.tokenizer, run.pieces, **(cfg["model"].get("vocabulary") or {}))
    return {
        "base_model": recipe.base_model,
        "base_vocab_size": run.llm.config.get_text_config().vocab_size,
        "base_fingerprint": run.fingerprint,
        **({"vocabulary": growth} if growth else {}),
        **run.began_with,
        "template": run.template.name,
        "stop_words": stop_words_of(run.template, run.tokenizer),
        "system": recipe.system,
        # what chat's --lagent gives the model if the user names no tools
        **({"tools": recipe.tools} if recipe.tools else {}),
        **run.model.notes(),
        "map_fn": noted_name(cfg["train_dataset"], run.loader.report.recognised),
    }
