"""A tokenizer as GGUF has it: tokens with their kinds, and merges or scores.

    gpt2    byte pairs: tokens in bytes' letters, merges in their order, and `pre`
    llama   SentencePiece: a score says which two pieces are joined first

Scores are made from the order of the merges, so that a tokenizer.model, which a trained folder
seldom has, is not needed. An id that the model has a row for and the tokenizer no token becomes an
unused '[PADn]'.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from xtune.errors import ModelError
from xtune.export.gguf.pre_tokenizer import pre_tokenizer_name

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Vocabulary", "vocabulary_of"]

_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED, _UNUSED, _BYTE = 1, 2, 3, 4, 5, 6
_NEVER = -1e9  # the score of a piece that no merge makes


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What `tokenizer.ggml.*` says.

    Attributes:
        model: 'gpt2' or 'llama'.
        pre: the pre-tokenizer.
        tokens: one a row of the embedding.
        types: of each.
        merges: of byte pairs; else none.
        scores: of pieces; else none.
        fields: the rest, by its name: ids and switches.
    """

    model: Literal["gpt2", "llama"]
    pre: str
    tokens: list[str]
    types: list[int]
    merges: list[str]
    scores: list[float]
    fields: dict[str, int | bool]


def vocabulary_of(
    tokenizer: PreTrainedTokenizerBase, rows: int, end_ids: Sequence[int], end_of_turn: int | None
) -> Vocabulary:
    """Describe a tokenizer.

    Args:
        tokenizer: a fast one.
        rows: of the embedding.
        end_ids: of all tokens that end an answer.
        end_of_turn: the one of them that a chat template writes; None without a template.

    Raises:
        ModelError: it is of a kind that GGUF has no place for, or llama.cpp would cut its texts
            otherwise.
    """
    if not tokenizer.is_fast:
        raise ModelError("GGUF needs a fast tokenizer (tokenizer.json), and this one is none")
    backend: Any = tokenizer
    parts = json.loads(backend.backend_tokenizer.to_str())
    model = parts["model"]
    if model["type"] != "BPE":
        raise ModelError(
            "GGUF has byte pairs and SentencePiece's pairs, and this tokenizer is a "
            f"{model['type']}"
        )
    by_bytes = '"ByteLevel"' in json.dumps([parts.get("pre_tokenizer"), parts.get("decoder")])
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    tokens, types = _tokens(tokenizer, rows, has_bytes=not by_bytes)
    scores: list[float] = []
    if not by_bytes:
        scores = _scores(tokens, merges)
    return Vocabulary(
        model="gpt2" if by_bytes else "llama",
        pre=pre_tokenizer_name(tokenizer) if by_bytes else "default",
        tokens=tokens,
        types=types,
        merges=merges if by_bytes else [],
        scores=scores,
        fields=_fields(tokenizer, rows, end_ids, end_of_turn)
        | ({} if by_bytes else {"add_space_prefix": _adds_blank(backend)}),
    )


def _tokens(
    tokenizer: PreTrainedTokenizerBase, rows: int, *, has_bytes: bool
) -> tuple[list[str], list[int]]:
    known = {number: token for token, number in tokenizer.get_vocab().items()}
    added = tokenizer.added_tokens_decoder
    tokens, types = [], []
    for number in range(rows):
        token = known.get(number)
        kind = _NORMAL
        if token is None:
            token, kind = f"[PAD{number}]", _UNUSED
        elif number == tokenizer.unk_token_id and has_bytes:
            kind = _UNKNOWN
        elif number in added:
            kind = _CONTROL if added[number].special else _USER_DEFINED
        elif has_bytes and len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            kind = _BYTE
        tokens.append(token)
        types.append(kind)
    return tokens, types


def _scores(tokens: Sequence[str], merges: Sequence[str]) -> list[float]:
    first: dict[str, int] = {}
    for rank, merge in enumerate(merges):
        first.setdefault(merge.replace(" ", "", 1), rank)
    return [float(-first[t]) if t in first else 0.0 if len(t) == 1 else _NEVER for t in tokens]


def _adds_blank(tokenizer: Any) -> bool:
    """Whether a text gets a blank in front, as SentencePiece does unless told otherwise."""
    return bool(
        tokenizer.convert_ids_to_tokens(tokenizer.encode("a", add_special_tokens=False))[
            0
        ].startswith("\u2581")
    )


def _fields(
    tokenizer: PreTrainedTokenizerBase, rows: int, end_ids: Sequence[int], end_of_turn: int | None
) -> dict[str, int | bool]:
    plain: Any = tokenizer.encode("a")
    chat = bool(tokenizer.chat_template)  # writes its own; llama.cpp would add another
    fields: dict[str, int | bool] = {
        "add_bos_token": not chat and plain[:1] == [tokenizer.bos_token_id],
        "add_eos_token": not chat and plain[-1:] == [tokenizer.eos_token_id],
    }
    first = end_of_turn if end_of_turn is not None else tokenizer.eos_token_id
    ends = list(dict.fromkeys([*([] if first is None else [first]), *end_ids]))
    named = {
        "bos_token_id": tokenizer.bos_token_id,
        "unknown_token_id": tokenizer.unk_token_id,
        "padding_token_id": tokenizer.pad_token_id,
        **dict(zip(("eos_token_id", "eot_token_id", "eom_token_id"), ends, strict=False)),
    }
    return fields | {name: n for name, n in named.items() if n is not None and n < rows}
