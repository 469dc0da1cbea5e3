"""What other programs load: an adapter in PEFT's format, a model in Hugging Face's.

Both come with the tokenizer, whose chat_template is the one that was trained with, and with
xtune.json, which says what the formats have no place for.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors.torch import save_file

from xtune.checkpoint.meta import FORMAT_VERSION

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

__all__ = ["write_adapter", "write_model"]


def write_adapter(
    folder: Path,
    llm: Any,
    weights: Mapping[str, Tensor],
    tokenizer: PreTrainedTokenizerBase,
    notes: Mapping[str, Any],
) -> None:
    """Write a folder that `peft.PeftModel.from_pretrained(base, folder)` loads.

    Args:
        folder: created.
        llm: the PeftModel; its active adapter's config is written.
        weights: the adapter under PEFT's names (`Strategy.gather_adapter`).
        tokenizer: saved beside it.
        notes: for xtune.json; see `Runner.notes`.
    """
    folder.mkdir(parents=True)
    # PeftModel.save_pretrained would ask the hub whether the base model's vocabulary has changed.
    save_file(dict(weights), folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config = copy.copy(llm.peft_config[llm.active_adapter])
    config.inference_mode = True
    config.save_pretrained(str(folder))
    _write_tokenizer_and_notes(folder, tokenizer, notes)


def write_model(
    folder: Path, llm: Any, tokenizer: PreTrainedTokenizerBase, notes: Mapping[str, Any]
) -> None:
    """Write a folder that `AutoModelForCausalLM.from_pretrained` loads.

    Args:
        folder: created.
        llm: a transformers model without an adapter.
        tokenizer: saved beside it.
        notes: for xtune.json; see `Runner.notes`.
    """
    with _cache_enabled(llm.config):
        llm.save_pretrained(folder)
    _write_tokenizer_and_notes(folder, tokenizer, notes)


def _write_tokenizer_and_notes(
    folder: Path, tokenizer: PreTrainedTokenizerBase, notes: Mapping[str, Any]
) -> None:
    tokenizer.save_pretrained(folder)
    text = json.dumps({"format_version": FORMAT_VERSION, **notes}, indent=1, ensure_ascii=False)
    (folder / "xtune.json").write_text(text + "\n", encoding="utf-8")


@contextmanager
def _cache_enabled(config: Any) -> Iterator[None]:
    """Training turns `use_cache` off; saved so, whoever generates with the model would crawl."""
    before = config.use_cache
    config.use_cache = True
    try:
        yield
    finally:
        config.use_cache = before
