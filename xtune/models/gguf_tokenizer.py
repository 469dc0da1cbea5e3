"""The tokenizer of a GGUF file, with the ids that llama.cpp gives.

    tokenizer.ggml.model   gpt2: byte pairs, cut as `pre` says · llama: SentencePiece, by scores
    tokenizer.ggml.pre     the name of a pre-tokenizer of llama.cpp; see gguf_splits.py
    …tokens, …merges, …scores, …token_type, …bos_token_id, …add_bos_token, …
    tokenizer.chat_template

transformers reads them too, but cuts all texts as GPT-2 does unless it knows the name, without a
word, and spells DeepSeek's control tokens otherwise, which gives them ids behind the embedding.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xtune.errors import ModelError
from xtune.models.families.sentencepiece_tokenizer import fast_from_pieces
from xtune.models.gguf_splits import ADDS_BOS, SPLITS, TAKES_WHOLE_WORDS

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

__all__ = ["gguf_tokenizer"]

logger = logging.getLogger(__name__)

_UNKNOWN, _CONTROL, _USER_DEFINED = 2, 3, 4  # tokenizer.ggml.token_type
_BYTE = 6
_NAMED = {
    "bos_token": "bos_token_id",
    "eos_token": "eos_token_id",
    "unk_token": "unknown_token_id",
    "pad_token": "padding_token_id",
}


def gguf_tokenizer(metadata: Mapping[str, Any], name: str) -> PreTrainedTokenizerBase | None:
    """Make the tokenizer that a GGUF file describes.

    Args:
        metadata: of the file.
        name: of the file, for messages.

    Returns:
        The tokenizer; None for a kind that transformers is left to read (Gemma's, T5's).

    Raises:
        ModelError: the vocabulary is missing, or an id lies outside of it.
    """
    from transformers import PreTrainedTokenizerFast

    fields = {
        key.removeprefix("tokenizer.ggml."): value
        for key, value in metadata.items()
        if key.startswith("tokenizer.ggml.")
    }
    tokens = fields.get("tokens")
    if not isinstance(tokens, list) or not tokens:
        raise ModelError(f"{name} has no tokenizer in it (tokenizer.ggml.tokens)")
    kind, pre = fields.get("model"), fields.get("pre")
    if kind == "gpt2":
        fast = _byte_pairs(fields, name)
    elif kind == "llama" and not str(metadata.get("general.architecture")).startswith("gemma"):
        fast = _pieces(fields)
    else:
        return None
    named = {
        role: _token(tokens, fields[key], key, name)
        for role, key in _NAMED.items()
        if fields.get(key) is not None
    }
    adds_bos = fields.get("add_bos_token", kind == "llama" or pre in ADDS_BOS)
    _put_around(
        fast,
        [named["bos_token"]] if adds_bos and "bos_token" in named else [],
        [named["eos_token"]] if fields.get("add_eos_token") and "eos_token" in named else [],
    )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=fast, clean_up_tokenization_spaces=False, **named
    )
    templates = {
        key.removeprefix("tokenizer.chat_template.").removeprefix("tokenizer."): text
        for key, text in metadata.items()
        if key.startswith("tokenizer.chat_template") and isinstance(text, str)
    }
    if default := templates.pop("chat_template", None):
        wrapped.chat_template = {"default": default} | templates if templates else default
    return wrapped


def _byte_pairs(fields: Mapping[str, Any], name: str) -> Tokenizer:
    from tokenizers import Regex, Tokenizer, decoders, models
    from tokenizers import pre_tokenizers as pre

    named = fields.get("pre")
    if named not in SPLITS:
        instead = "gpt-2" if named else "default"  # llama.cpp refuses the one, and takes the other
        logger.warning(
            "%s names %s. Its texts are cut as %r does, and the ids may not be those that the "
            "model was trained with, above all of digits, blanks and marks. A newer conversion of "
            "the model, or its original checkpoint, has what is right",
            name,
            f"the pre-tokenizer {named!r}, which xtune does not know (tokenizer.ggml.pre)"
            if named
            else "no pre-tokenizer (tokenizer.ggml.pre)",
            instead,
        )
        named = instead
    fast = Tokenizer(
        models.BPE(
            vocab={token: number for number, token in enumerate(fields["tokens"])},
            merges=[tuple(merge.split(" ", 1)) for merge in fields.get("merges", ())],
            ignore_merges=named in TAKES_WHOLE_WORDS,
        )
    )
    fast.pre_tokenizer = pre.Sequence(
        [
            *(pre.Split(Regex(split), behavior="isolated") for split in SPLITS[named]),
            pre.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    fast.decoder = decoders.ByteLevel()
    _add_tokens(fast, fields["tokens"], fields.get("token_type") or ())
    return fast


def _pieces(fields: Mapping[str, Any]) -> Tokenizer:
    """As SentencePiece's BPE would read it."""
    from sentencepiece import sentencepiece_model_pb2

    messages: Any = sentencepiece_model_pb2
    proto = messages.ModelProto()
    types = fields.get("token_type") or [1] * len(fields["tokens"])
    scores = fields.get("scores") or [0.0] * len(fields["tokens"])
    for piece, score, kind in zip(fields["tokens"], scores, types, strict=True):
        proto.pieces.add(piece=piece, score=score, type=kind)
    proto.trainer_spec.model_type = messages.TrainerSpec.BPE
    proto.trainer_spec.byte_fallback = _BYTE in types
    proto.normalizer_spec.add_dummy_prefix = bool(fields.get("add_space_prefix", True))
    proto.normalizer_spec.remove_extra_whitespaces = bool(
        fields.get("remove_extra_whitespaces", False)
    )
    return fast_from_pieces(proto, {})


def _add_tokens(fast: Tokenizer, tokens: Sequence[str], types: Sequence[int]) -> None:
    """Let the control and user-defined tokens be found whole, wherever they stand in a text."""
    from tokenizers import AddedToken

    kinds = list(zip(tokens, types, strict=True)) if types else []
    fast.add_tokens([AddedToken(t, normalized=False) for t, kind in kinds if kind == _USER_DEFINED])
    fast.add_special_tokens(
        [
            AddedToken(token, normalized=False, special=True)
            for token, kind in kinds
            if kind in (_CONTROL, _UNKNOWN)
        ]
    )


def _put_around(fast: Tokenizer, front: list[str], behind: list[str]) -> None:
    from tokenizers import processors

    if front or behind:
        fast.post_processor = processors.TemplateProcessing(
            single=[*front, "$A", *behind],
            pair=[*front, "$A", *behind, "$B", *behind],
            special_tokens=[(token, fast.token_to_id(token)) for token in {*front, *behind}],
        )


def _token(tokens: Sequence[str], number: int, key: str, name: str) -> str:
    if not 0 <= number < len(tokens):
        raise ModelError(f"{name} sets tokenizer.ggml.{key} to {number}, of {len(tokens)} tokens")
    return tokens[number]
