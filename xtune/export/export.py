"""What other programs load: an adapter in PEFT's format, a model in Hugging Face's.

Both come with the tokenizer, whose chat_template is the one that was trained with, with the ids
that end an answer (endings.py), and with xtune.json, which says what the formats have no place for.
"""

from __future__ import annotations

import copy
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from xtune.export.endings import (
    eos_to_write,
    write_config_ids,
    write_eos,
    write_generation_config,
)
from xtune.export.padding import padding_set, with_padding
from xtune.models import base_of, load_tokenizer
from xtune.models.families import CheckpointFiles, Family, Layout, family_of_config
from xtune.models.older_readers import name_as_before, save_tokenizer
from xtune.models.sequence_classifier import is_classifier
from xtune.models.source import name_for_others

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

__all__ = ["write_adapter", "write_model"]

_FORMAT_VERSION = 1  # of xtune.json


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
        tokenizer: saved next to it.
        notes: for xtune.json; see `engine.notes.notes_of`.
    """
    folder.mkdir(parents=True)
    stop_words = notes.get("stop_words") or ()
    scores = is_classifier(base_of(llm))
    tokenizer = with_padding(tokenizer, stop_words) if scores else tokenizer
    # PeftModel.save_pretrained would ask the hub whether the base model's vocabulary has changed.
    save_file(
        _each_its_own(weights), folder / "adapter_model.safetensors", metadata={"format": "pt"}
    )
    config = copy.copy(llm.peft_config[llm.active_adapter])
    config.inference_mode = True
    config.base_model_name_or_path = name_for_others(str(config.base_model_name_or_path or ""))
    config.save_pretrained(str(folder))
    save_tokenizer(tokenizer, folder)
    if not scores:
        write_generation_config(folder, llm, tokenizer, stop_words)
    _write_notes(folder, notes, tokenizer)


def write_model(
    folder: Path,
    llm: Any,
    tokenizer: PreTrainedTokenizerBase,
    notes: Mapping[str, Any],
    *,
    layout: Layout | None = None,
) -> None:
    """Write a folder that `AutoModelForCausalLM.from_pretrained` loads, or the original's code.

    A reward model is loaded by `AutoModelForSequenceClassification.from_pretrained`.

    Args:
        folder: created.
        llm: a transformers model without an adapter.
        tokenizer: saved next to it.
        notes: for xtune.json; see `engine.notes.notes_of`.
        layout: 'transformers', or 'original': names, shapes and config.json as the family
            publishes them. Default: the family's `checkpoint_layout`.
    """
    if is_classifier(llm):
        _write_reward_model(folder, llm, tokenizer, notes)
        return
    family = family_of_config(llm.config)
    if not torch.accelerator.is_available():
        # save_pretrained has accelerate import deepspeed, if that is there, which warns of a CPU
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    with _cache_enabled(llm.config):
        if family is None:
            llm.save_pretrained(folder)
        else:
            _write_family(folder, llm, family, layout or family.checkpoint_layout)
    stop_words = notes.get("stop_words") or ()
    ids = write_generation_config(folder, llm, tokenizer, stop_words)
    if family is not None and (layout or family.checkpoint_layout) == "original":
        _write_original_tokenizer(folder, llm, family, tokenizer)
    else:
        name_as_before(folder)
        if stop_words:
            write_config_ids(folder, ids)
        save_tokenizer(tokenizer, folder)
    _write_notes(folder, notes, tokenizer)


def _write_reward_model(
    folder: Path, llm: Any, tokenizer: PreTrainedTokenizerBase, notes: Mapping[str, Any]
) -> None:
    own = with_padding(tokenizer, notes.get("stop_words") or ())
    number: Any = own.pad_token_id
    with _cache_enabled(llm.config), padding_set(llm, number):
        llm.save_pretrained(folder)
    name_as_before(folder)
    save_tokenizer(own, folder)
    _write_notes(folder, notes, own)


def _each_its_own(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copy what stands under two names, as a tied embedding that is trained: PEFT reads both."""
    own: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, tensor in weights.items():
        own[name] = tensor.clone() if tensor.data_ptr() in seen else tensor
        seen.add(tensor.data_ptr())
    return own


def _write_family(folder: Path, llm: Any, family: Family, layout: Layout) -> None:
    llm.save_pretrained(folder, state_dict=family.weights(llm, layout), save_original_format=False)
    file = folder / "config.json"
    fields = json.loads(file.read_text(encoding="utf-8"))
    if layout == "original":
        number = fields.get("dtype")
        fields = family.original_fields(llm.config, llm.config.original_config)
        fields["torch_dtype"] = number
    else:  # our class's name would mean nothing to others
        fields["architectures"] = [MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[llm.config.model_type]]
    text = json.dumps(fields, indent=2, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")


def _write_original_tokenizer(
    folder: Path, llm: Any, family: Family, tokenizer: PreTrainedTokenizerBase
) -> None:
    """Copy the published files, which whatever served the original reads, and add the template."""
    names = (*family.original_files, "tokenizer.json")
    source = CheckpointFiles(llm.name_or_path)  # '' for a model that was loaded from nowhere
    found = [file for name in names if llm.name_or_path and (file := source.path(name))]
    if not found:
        tokenizer.save_pretrained(folder)
        return
    for file in found:
        shutil.copyfile(file, folder / file.name)
    known = load_tokenizer(llm.name_or_path).get_vocab()
    added = {t: number for t, number in tokenizer.get_vocab().items() if t not in known}
    if added:  # the name under which the tokenizers of transformers 4 read them
        text = json.dumps(added, indent=1, ensure_ascii=False)
        (folder / "added_tokens.json").write_text(text + "\n", encoding="utf-8")
    tokenizer.save_chat_templates(folder, {}, None, True)


def _write_notes(
    folder: Path, notes: Mapping[str, Any], tokenizer: PreTrainedTokenizerBase
) -> None:
    """Write xtune.json, with the end token that is the tokenizer's own where others see another."""
    said = {"format_version": _FORMAT_VERSION, **notes}
    said.pop("eos_token", None)
    if eos := eos_to_write(tokenizer, notes.get("stop_words") or ()):
        write_eos(folder, eos)
        said["eos_token"] = tokenizer.eos_token
    text = json.dumps(said, indent=1, ensure_ascii=False)
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
