"""The same evaluation twice: of the untouched model, and with what a run has trained."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from xtune.checkpoint.folder import find_resumable
from xtune.config import Sheet
from xtune.config.recipe import recipe_of
from xtune.errors import CheckpointError, ConfigError
from xtune.eval.loss_curve import read_loss_curve
from xtune.eval.result import Report
from xtune.generation.locate import find_adapter, training_notes
from xtune.models import load_adapter, load_model, load_tokenizer
from xtune.models.onednn_weights import pack_weights
from xtune.registry import EVALUATIONS, MODELS, build

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["compare", "trained_folder"]

Progress = Callable[[str, int, int], None]

_ROWS = 32  # of a batch, about: many are asked at once


def compare(
    sheet: Sheet,
    work_dir: Path,
    *,
    adapter: str | None = None,
    max_rows: int | None = None,
    on_progress: Progress = lambda stage, done, total: None,
) -> Report:
    """Evaluate the sheet's model before training and after.

    Args:
        sheet: its `test_cfg` says what to measure, its `model.llm` names the model.
        work_dir: of the run; its newest whole checkpoint is what was trained.
        adapter: measure this adapter instead of the run's.
        max_rows: ask so many requests instead of all.
        on_progress: called with 'before' or 'after', the answers there are and will be.

    Raises:
        ConfigError: the sheet has no `test_cfg`.
        CheckpointError: the run has no whole checkpoint.
        AdapterError: the adapter does not fit the model.
    """
    if not sheet.values.get("test_cfg"):
        raise ConfigError(
            f"{sheet.name} has no test_cfg, so there is nothing to measure; "
            "configs/_base_/datasets/toolcall.py shows one"
        )
    evaluation = build(EVALUATIONS, sheet.values["test_cfg"])
    trained = trained_folder(work_dir) if adapter is None else find_adapter(adapter)
    trained_tokenizer = load_tokenizer(str(trained))
    stop_words = tuple(training_notes(trained).get("stop_words") or ())

    def measure(stage: str, llm: Any, tokenizer: PreTrainedTokenizerBase) -> Any:
        return evaluation.run(
            llm,
            tokenizer,
            stop_words=stop_words,
            max_rows=max_rows,
            on_progress=lambda done, total: on_progress(stage, done, total),
        )

    recipe = recipe_of(sheet.values)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    llm = build(MODELS, sheet.values["model"]["llm"], device=device)
    pack_weights(llm, rows=_ROWS)
    # The untouched model in its own words if it has any, and its own tokens: the fairest "before".
    tokenizer = load_tokenizer(**{**sheet.values["tokenizer"], "added_tokens": None})
    tokenizer.chat_template = tokenizer.chat_template or trained_tokenizer.chat_template
    before = measure("before", llm, tokenizer)
    if (trained / "adapter_config.json").is_file():
        llm = load_adapter(llm, trained)
    else:
        del llm  # two whole models may not fit
        llm = load_model(str(trained), dtype=recipe.dtype, device=device)
        pack_weights(llm, rows=_ROWS)
    after = measure("after", llm, trained_tokenizer)
    return Report(
        title=f"What {work_dir.name if adapter is None else trained.name} has learnt",
        model=recipe.base_model or "a model of the config's own",
        trained=str(trained),
        date=time.strftime("%Y-%m-%d %H:%M"),
        before=before,
        after=after,
        curve=read_loss_curve(work_dir),
    )


def trained_folder(work_dir: Path) -> Path:
    """Return the adapter or model in a run's newest whole checkpoint.

    Raises:
        CheckpointError: there is none.
    """
    checkpoint = find_resumable(work_dir / "checkpoints")
    if checkpoint is None:
        raise CheckpointError(
            f"there is no checkpoint in {work_dir / 'checkpoints'}: train first (xtune train), "
            "or say where the run is with --work-dir"
        )
    adapter = checkpoint / "adapter"
    return adapter if adapter.is_dir() else checkpoint / "model"
