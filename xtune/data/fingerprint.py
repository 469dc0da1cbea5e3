"""Hashes of what tokens depend on: map_fn, tokenizer, template. Equal hash, equal tokens."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import xtune
from xtune.data.own_code import OwnCode
from xtune.registry import TEMPLATES, resolve

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from xtune.data.sources.base import Source
    from xtune.data.templates.base import Template

__all__ = [
    "FORMAT_VERSION",
    "cache_key",
    "fingerprint_function",
    "fingerprint_source",
    "fingerprint_template",
    "fingerprint_tokenizer",
]

FORMAT_VERSION = 7  # of the cache's files and of what is written into them


def cache_key(**parts: Any) -> str:
    """Return a hash over named strings and numbers, the format and xtune's version."""
    parts |= {"format": FORMAT_VERSION, "xtune": xtune.__version__}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]


def fingerprint_function(function: Callable[..., Any]) -> str:
    """Hash what a function does: its code, and all of the user's own that it reaches.

    The compiled code is hashed, not the source text: a comment need not cost a new tokenisation.
    What is followed and what is not: own_code.py.
    """
    return OwnCode().digest(function)


def fingerprint_template(name: str | Callable[..., Any], template: Template) -> str:
    """Hash what a template makes of a dialogue.

    Args:
        name: as a config names it: 'auto', a registered name, 'file.py:function', or a function.
        template: what was built of it.
    """
    written_by = None if name == "auto" else resolve(TEMPLATES, name)
    return OwnCode().digest([template.key, written_by, type(template)])


def fingerprint_source(source: Source, data_path: object) -> str:
    """Hash what rows a source has; of a source of the user's own also its code and arguments.

    An argument that names a file stands for the file's content, wherever it lies.

    Args:
        source: the opened source.
        data_path: as the config names it.
    """
    if _is_ours(type(source)):
        return source.fingerprint()
    arguments: Any = data_path
    if isinstance(data_path, Mapping):  # its type is hashed as code, wherever that lies
        arguments = {k: _content(v) for k, v in data_path.items() if k != "type"}
    return OwnCode().digest([source.fingerprint(), type(source), arguments])


def fingerprint_tokenizer(tokenizer: PreTrainedTokenizerBase) -> str:
    """Hash how a tokenizer splits text, and its special tokens."""
    if tokenizer.is_fast:
        serialised = tokenizer.backend_tokenizer.to_str()
        # Before this stand truncation and padding, which any call of the tokenizer may set.
        state = serialised[serialised.index('"added_tokens"') :]
    else:
        state = json.dumps(sorted(tokenizer.get_vocab().items()))
    special = json.dumps(tokenizer.special_tokens_map, sort_keys=True, default=str)
    code = OwnCode().digest(type(tokenizer))  # of one that comes with code of its own
    return hashlib.sha256(f"{code}\0{special}\0{state}".encode()).hexdigest()


def _content(argument: Any) -> Any:
    if isinstance(argument, str | Path):
        path = os.path.expanduser(argument)
        if os.path.isfile(path):
            with open(path, "rb") as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
    return argument


def _is_ours(made: type) -> bool:
    return made.__module__.partition(".")[0] == xtune.__name__
