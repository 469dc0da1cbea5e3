"""Where an answer ends, written where other programs look for it.

    generation_config.json   eos_token_id: the base's ids, then those of the stop words
    config.json              the same, for servers that read no other file
    tokenizer_config.json    eos_token: the stop token, where there is one and nothing else uses it

A base model that is trained with a chat template learns to write the template's own end token, of
which the base's files say nothing. Whoever generates by these files stops where `xtune chat` does.

Within xtune the tokenizer keeps its own end token, which ends a plain text and some templates'
dialogues: xtune.json holds it, and `load_tokenizer` sets it again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtune.data.templates.end_ids import end_ids_and_words
from xtune.models import base_of
from xtune.models.older_readers import TOKENIZER, amend_config, read_json, write_json

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["eos_to_write", "write_config_ids", "write_eos", "write_generation_config"]

_SPECIAL_TOKENS = "special_tokens_map.json"


def write_generation_config(
    folder: Path, llm: Any, tokenizer: PreTrainedTokenizerBase, stop_words: Sequence[str]
) -> list[int]:
    """Write generation_config.json: the model's own, with every id that ends an answer.

    Args:
        folder: an adapter's or a model's; exists.
        llm: a transformers model, with an adapter or without.
        tokenizer: of the training.
        stop_words: of the training; none of a model that was not trained here.

    Returns:
        The ids.
    """
    base = base_of(llm)
    given = getattr(base, "generation_config", None)
    declared = getattr(given, "eos_token_id", None)
    if declared is None:
        declared = getattr(base.config.get_text_config(), "eos_token_id", None)
    ids, _ = end_ids_and_words(declared, tokenizer, stop_words)
    # Not save_pretrained, which refuses what published files have: a temperature without do_sample
    fields = json.loads(given.to_json_string()) if given is not None else {}
    fields.pop("_from_model_config", None)  # or transformers might take the config's ids instead
    if ids:
        fields["eos_token_id"] = ids[0] if len(ids) == 1 and declared == ids[0] else ids
    if fields.get("pad_token_id") is None and tokenizer.pad_token_id is not None:
        fields["pad_token_id"] = tokenizer.pad_token_id
    write_json(folder / "generation_config.json", fields)
    return ids


def write_config_ids(folder: Path, ids: Sequence[int]) -> None:
    """Write the ids into config.json too, if the model's class takes several.

    Args:
        folder: of a model.
        ids: of the tokens that end an answer.
    """
    declared = read_json(folder / "config.json").get("eos_token_id")
    known = declared if isinstance(declared, list) else [declared]
    if not set(ids) <= set(known):
        amend_config(folder, {"eos_token_id": list(ids)}, differing="eos_token_id")


def eos_to_write(tokenizer: PreTrainedTokenizerBase, stop_words: Sequence[str]) -> str | None:
    """Return the end token that others should see, or None where the tokenizer's own stays.

    It stays where a template writes `eos_token` or the tokenizer adds it to every text, which
    would be read otherwise; and where the stop token is no special token, which it would become.

    Args:
        tokenizer: of the run.
        stop_words: of its template.
    """
    if len(stop_words) != 1 or stop_words[0] == tokenizer.eos_token:
        return None
    templates: Any = tokenizer.chat_template or ""
    texts = templates.values() if isinstance(templates, Mapping) else [templates]
    if any("eos_token" in text for text in texts) or getattr(tokenizer, "add_eos_token", False):
        return None
    special = {str(t) for t in tokenizer.added_tokens_decoder.values() if t.special}
    return stop_words[0] if stop_words[0] in special else None


def write_eos(folder: Path, eos: str) -> None:
    """Let the tokenizer's files in a folder name another end token.

    Args:
        folder: of a tokenizer.
        eos: the token.
    """
    for name in (TOKENIZER, _SPECIAL_TOKENS):
        file = folder / name
        if file.is_file():
            fields = read_json(file)
            if name == TOKENIZER or "eos_token" in fields:
                write_json(file, fields | {"eos_token": eos})
