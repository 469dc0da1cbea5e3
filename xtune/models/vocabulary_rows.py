"""Whether each of a tokenizer's ids has a row of the embedding, told from the files alone.

More rows than tokens are usual. Tokens without a row do no harm until a text has one, and some
published tokenizers have them; a token that ends every answer must have its row.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

__all__ = ["rows_in", "tokens_in", "without_rows"]


def without_rows(
    tokens: Mapping[str, int], rows: int, name: str, *, always: Iterable[str | None] = ()
) -> tuple[str, bool] | None:
    """Say which tokens have no row, and whether every dialogue has one of them.

    >>> without_rows({'a': 0, '<end>': 1, 'b': 2}, 1, 'llama', always=['<end>'])
    ("the tokenizer has 2 tokens with ids from 1 on ('<end>', 'b'), but the embedding of 'llama' \
has 1 rows", True)
    >>> without_rows({'a': 0}, 8, 'llama')

    Args:
        tokens: of the tokenizer, with their ids.
        rows: of the embedding.
        name: of the model, for the message.
        always: tokens that every dialogue has: those that begin and end it.
    """
    beyond = {token: number for token, number in tokens.items() if number >= rows}
    if not beyond:
        return None
    first = sorted(beyond, key=lambda token: beyond[token])
    said = (
        f"the tokenizer has {len(beyond)} tokens with ids from {min(beyond.values())} on "
        f"({', '.join(map(repr, first[:3]))}{', …' if len(first) > 3 else ''}), but the embedding "
        f"of {name!r} has {rows} rows"
    )
    return said, any(token in beyond for token in always)


def tokens_in(folder: Path) -> tuple[dict[str, int], list[str]]:
    """Return a folder's tokens with their ids, and those that begin and end a text.

    Nothing where they are in other files than tokenizer.json or vocab.json.
    """
    settings = _json(folder / "tokenizer_config.json")
    whole = _json(folder / "tokenizer.json")
    given = (whole.get("model") or {}).get("vocab") if whole else _json(folder / "vocab.json")
    tokens: dict[str, int] = {}
    if isinstance(given, Mapping):
        tokens |= {str(token): number for token, number in given.items() if _is_id(number)}
    elif isinstance(given, list):  # Unigram's: pieces with their scores
        tokens |= {str(piece[0]): number for number, piece in enumerate(given) if piece}
    for entry in whole.get("added_tokens") or ():
        tokens[str(entry.get("content"))] = int(entry.get("id", -1))
    for number, entry in (settings.get("added_tokens_decoder") or {}).items():
        if tokens and isinstance(entry, Mapping):
            tokens[str(entry.get("content"))] = int(number)
    ends = [settings.get(role) for role in ("bos_token", "eos_token")]
    named = [end.get("content") if isinstance(end, Mapping) else end for end in ends]
    return tokens, [token for token in named if isinstance(token, str)]


def rows_in(folder: Path) -> int | None:
    """Return how many rows a folder's config.json gives the embedding; None if it does not say."""
    fields = _json(folder / "config.json")
    for place in (fields, fields.get("text_config")):
        for key in ("padded_vocab_size", "vocab_size"):
            if isinstance(place, Mapping) and _is_id(place.get(key)):
                return int(place[key])
    return None


def _is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):  # the loading says so
        return {}
    return content if isinstance(content, dict) else {}
