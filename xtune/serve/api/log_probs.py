"""How likely tokens were, in the two forms of OpenAI's API, each token with its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from xtune.generation.row import Noted

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["chat_log_probs", "completion_log_probs", "token_bytes"]

_LEAST = -9999.0  # JSON has no infinity; OpenAI writes this


def chat_log_probs(
    tokenizer: PreTrainedTokenizerBase, noted: Sequence[Noted], top: int
) -> dict[str, Any]:
    """Return `logprobs` of a chat completion.

    Args:
        tokenizer: spells the tokens.
        noted: of the tokens.
        top: how many others are told of each.
    """
    content = [
        {
            **_spelled(tokenizer, each.token, each.log_probability),
            "top_logprobs": [_spelled(tokenizer, *other) for other in each.others[:top]],
        }
        for each in noted
    ]
    return {"content": content, "refusal": None}


def completion_log_probs(
    tokenizer: PreTrainedTokenizerBase,
    noted: Sequence[Noted],
    top: int,
    offset: int,
    *,
    first: int | None = None,
) -> dict[str, Any]:
    """Return `logprobs` of a text completion, in the older form of lists.

    Args:
        tokenizer: spells the tokens.
        noted: of the tokens.
        top: how many others are told of each.
        offset: characters before the first.
        first: a token before them that nothing stands before: its numbers are null.
    """
    tokens = [] if first is None else [_text(tokenizer, first)]
    tokens += [_text(tokenizer, each.token) for each in noted]
    offsets = []
    for text in tokens:
        offsets.append(offset)
        offset += len(text)
    none = [None] * (first is not None)
    return {
        "tokens": tokens,
        "token_logprobs": none + [max(each.log_probability, _LEAST) for each in noted],
        "top_logprobs": none
        + [
            {_text(tokenizer, token): max(value, _LEAST) for token, value in each.others[:top]}
            for each in noted
        ],
        "text_offset": offsets,
    }


def token_bytes(tokenizer: PreTrainedTokenizerBase, token: int) -> bytes:
    """Return what a token stands for: half a character, too.

    Args:
        tokenizer: byte-level BPE, or SentencePiece with bytes as <0x0A>.
        token: an id.
    """
    if token in tokenizer.added_tokens_decoder:
        return str(tokenizer.added_tokens_decoder[token]).encode()
    piece = str(tokenizer.convert_ids_to_tokens(token) or "")
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return bytes([int(piece[3:5], 16)])
    if piece and all(letter in _BYTE_OF for letter in piece) and "▁" not in piece:
        spelled = bytes(_BYTE_OF[letter] for letter in piece)
        decoded = str(tokenizer.decode([token], clean_up_tokenization_spaces=False))
        # SentencePiece's letters may all be byte-level BPE's too; then the text decides
        if "\ufffd" in decoded or spelled.decode(errors="replace").strip() == decoded.strip():
            return spelled
    return piece.replace("▁", " ").encode()


def _spelled(
    tokenizer: PreTrainedTokenizerBase, token: int, log_probability: float
) -> dict[str, Any]:
    spelled = token_bytes(tokenizer, token)
    return {
        "token": spelled.decode(errors="replace"),
        "logprob": max(log_probability, _LEAST),
        "bytes": list(spelled),
    }


def _text(tokenizer: PreTrainedTokenizerBase, token: int) -> str:
    return token_bytes(tokenizer, token).decode(errors="replace")


def _byte_of() -> dict[str, int]:
    """The letter by which byte-level BPE writes each byte: printable ones are themselves."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {
        chr(256 + at): byte for at, byte in enumerate(others)
    }


_BYTE_OF = _byte_of()
