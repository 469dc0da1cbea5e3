"""The tokenizer of a checkpoint, with a pad token and the tokens that a run adds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from xtune.errors import ModelError, XtuneError
from xtune.models.families import CheckpointFiles, Family, family_of_fields
from xtune.models.families.llama_tokenizer import with_its_own_spaces
from xtune.models.source import explained, source_of
from xtune.models.vocabulary import add_tokens, token_pieces
from xtune.models.vocabulary_files import missing_file, name_tokens, spoilt_file

__all__ = ["load_tokenizer", "open_vocabulary"]


def load_tokenizer(
    pretrained_model_name_or_path: str,
    *,
    trust_remote_code: bool = False,
    added_tokens: list[str] | None = None,
) -> PreTrainedTokenizerBase:
    """Load a tokenizer; one without a pad token pads with its end-of-text token.

    Padding is masked by length, never by token id, so the shared id does no harm.

    Args:
        pretrained_model_name_or_path: a hub id, a folder, a .gguf file or an alias.
        trust_remote_code: run the checkpoint's own Python code.
        added_tokens: tokens to add, those it has already left out; see `vocabulary`.

    Raises:
        ModelError: nothing is there, or nothing transformers can read; an empty token.
    """
    # An adapter's folder has a tokenizer and no model.
    source = source_of(pretrained_model_name_or_path, "tokenizer_config.json")
    try:
        files = CheckpointFiles(source)
        family = None if trust_remote_code else family_of_fields(files.json("config.json"))
        _require_vocabulary(Path(source), family, trust_remote_code=trust_remote_code)
        tokenizer = None if family is None else family.tokenizer(files)
        if family is not None and tokenizer is None and files.path("tokenizer.json"):
            # AutoTokenizer would read the config too, of a kind that transformers does not know.
            tokenizer = PreTrainedTokenizerFast.from_pretrained(source)
            tokenizer = with_its_own_spaces(tokenizer, files)
        if tokenizer is None:
            tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=trust_remote_code)
            tokenizer = with_its_own_spaces(tokenizer, files)
    except Exception as error:  # what `tokenizers` raises is of no type of its own
        if Path(source).is_dir() and (spoilt := spoilt_file(Path(source))):
            raise ModelError(spoilt) from error
        if isinstance(error, XtuneError):
            raise
        raise explained(pretrained_model_name_or_path, "tokenizer", error) from error
    if eos := _own_eos(Path(source), tokenizer):
        tokenizer.eos_token = eos
    if not files.path("tokenizer_config.json"):
        name_tokens(tokenizer, files)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    add_tokens(tokenizer, added_tokens or ())
    return tokenizer


def open_vocabulary(
    settings: Mapping[str, Any],
) -> tuple[PreTrainedTokenizerBase, dict[int, list[int]]]:
    """Return the tokenizer of a sheet, and the pieces of the tokens that the sheet adds.

    Args:
        settings: the sheet's `tokenizer`.

    Raises:
        ModelError: there is no such tokenizer, or a token that cannot be added.
    """
    tokenizer = load_tokenizer(**settings)
    if not settings.get("added_tokens"):
        return tokenizer, {}
    before = load_tokenizer(**{**settings, "added_tokens": None})
    return tokenizer, token_pieces(before, tokenizer)


def _require_vocabulary(folder: Path, family: Family | None, *, trust_remote_code: bool) -> None:
    """Refuse a folder of which transformers would make an empty tokenizer, or half of one.

    Raises:
        ModelError: a file is missing; which, and what to do.
    """
    if trust_remote_code or not folder.is_dir():  # own code has files of its own; a hub has all
        return
    own = [
        name
        for name in (family.original_files if family else ())
        if name.endswith((".model", ".tiktoken"))
    ]
    knows = family is not None and family.knows_how_ranks_split
    if missing := missing_file(folder, own=own, knows_how_ranks_split=knows):
        raise ModelError(missing)


def _own_eos(folder: Path, tokenizer: PreTrainedTokenizerBase) -> str | None:
    """The tokenizer's own end token, where a run has written another for other programs.

    See xtune/export/endings.py. The own one ends plain texts, and some dialogues.
    """
    try:
        notes = json.loads((folder / "xtune.json").read_text(encoding="utf-8"))
        eos = notes.get("eos_token")
    except (OSError, ValueError, AttributeError):  # none, or a broken one: the loading says so
        return None
    return eos if isinstance(eos, str) and eos in tokenizer.get_vocab() else None
