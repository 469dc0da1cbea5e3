"""Find the `tokenizer.ggml.pre` that cuts texts as a tokenizer does.

llama.cpp has its pre-tokenizers built in, by name. Its converter finds the name by hashing the ids
of a text, so that one added token makes it stop, or guess. Here the cuts themselves are compared:
each pre-tokenizer of gguf_splits.py and the tokenizer's own cut some 3,000 made-up words of
letters, digits, blanks, marks and signs, in each order that a pattern might see.
"""

from __future__ import annotations

import functools
import random
from typing import Any

from xtune.errors import ModelError
from xtune.models.gguf_splits import SPLITS, TAKES_WHOLE_WORDS

__all__ = ["pre_tokenizer_name"]

_KINDS = (
    *("a", "Z", "é", "Ж", "ß", "中", "か", "ア", "한", "ا", "ा", "\u0301", "ǅ", "ª"),
    *("0", "7", "Ⅷ", "²", "٣", "½"),
    *(" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u3000"),
    *(".", ",", "-", "/", "'", '"', "(", "_", "!", "。", "“", "—"),
    *("$", "+", "^", "|", "~", "<", "=", "🦜", "€", "\u200b"),
    *("'s", "'LL", "'t", "word", "CamelCase", "123", "12345", "...", "://"),
)
_WORDS, _LONGEST = 3000, 6


def pre_tokenizer_name(tokenizer: Any) -> str:
    """Return the name.

    Args:
        tokenizer: a fast one of byte pairs.

    Raises:
        ModelError: llama.cpp has none that cuts so.
    """
    from tokenizers import Regex
    from tokenizers import pre_tokenizers as pre

    backend = tokenizer.backend_tokenizer
    whole = bool(getattr(backend.model, "ignore_merges", False))
    text = _text()
    wanted = backend.pre_tokenizer.pre_tokenize_str(text)
    tried: dict[tuple[str, ...], bool] = {}
    for name, splits in SPLITS.items():
        if splits not in tried:
            cut = pre.Sequence(
                [
                    *(pre.Split(Regex(split), behavior="isolated") for split in splits),
                    pre.ByteLevel(add_prefix_space=False, use_regex=False),
                ]
            )
            tried[splits] = cut.pre_tokenize_str(text) == wanted
        if tried[splits] and (name in TAKES_WHOLE_WORDS) == whole:
            return name
    raise ModelError(
        "llama.cpp has no pre-tokenizer that cuts texts as this tokenizer does, so that its ids "
        "would be others: serve the model in transformers' form instead (xtune export without "
        "--format gguf)"
    )


@functools.cache
def _text() -> str:
    dice = random.Random(0)
    return "".join(
        "".join(dice.choices(_KINDS, k=dice.randint(2, _LONGEST))) for _ in range(_WORDS)
    )
