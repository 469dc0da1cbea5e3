"""Fast tokenizers from tiktoken's rank files, with the ids that tiktoken gives.

A rank file has a line a token: its bytes in base64, and its rank, which is its id. Byte pairs are
merged lowest rank first; `tokenizers` wants the pairs themselves, which are found again by merging
each token's bytes with the ranks below its own.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtune.errors import ModelError
from xtune.models.families.files import CheckpointFiles

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

__all__ = ["fast_from_ranks", "glm4_tokenizer", "qwen_tokenizer", "read_ranks"]

# Contractions; letters with one other character before them; digits one by one (Qwen) or up to
# three (GLM-4); marks with the line breaks after them; line breaks; spaces
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{digits}"
    r"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN_SPLIT = _SPLIT.format(digits="")
GLM4_SPLIT = _SPLIT.format(digits="{1,3}")
_QWEN_SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
_QWEN_SPECIAL += [f"<|extra_{index}|>" for index in range(205)]


def read_ranks(file: Path) -> dict[bytes, int]:
    """Read a rank file.

    Raises:
        ModelError: a line is not 'base64 rank', or a token is missing.
    """
    ranks = {}
    for number, line in enumerate(file.read_bytes().splitlines(), 1):
        if not line:
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token)] = int(rank)
        except ValueError as error:
            raise ModelError(f"{file}:{number} is not 'base64 rank': {error}") from error
    bytes_there = all(bytes([byte]) in ranks for byte in range(256))
    if not bytes_there or sorted(ranks.values()) != list(range(len(ranks))):
        raise ModelError(
            f"{file} has {len(ranks):,} tokens, whose ranks are not 0 to {len(ranks) - 1:,} or "
            "which lack single bytes: was it cut short? Copy it again from the checkpoint"
        )
    return ranks


def fast_from_ranks(
    ranks: Mapping[bytes, int],
    split: str,
    special: Mapping[str, int],
    *,
    nfc: bool = False,
) -> Tokenizer:
    """Make a byte-level BPE with the ids of these ranks.

    Args:
        ranks: bytes -> id; every single byte is among them.
        split: the pattern that cuts a text before it is merged.
        special: token -> id; found anywhere in a text.
        nfc: normalise the text to Unicode's form C first.
    """
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
    from tokenizers import pre_tokenizers as pre

    letters = _byte_letters()

    def written(token: bytes) -> str:
        return "".join(letters[byte] for byte in token)

    vocabulary = {written(token): rank for token, rank in ranks.items()}
    merges = [
        (written(left), written(right))
        for token, rank in sorted(ranks.items(), key=lambda item: item[1])
        if len(token) > 1 and (pair := _last_pair(token, rank, ranks)) is not None
        for left, right in [pair]
    ]
    # ignore_merges: a piece that is a token is that token, as in tiktoken
    tokenizer = Tokenizer(
        models.BPE(vocab=vocabulary, merges=merges, fuse_unk=False, ignore_merges=True)
    )
    if nfc:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre.Sequence(
        [
            pre.Split(Regex(split), behavior="isolated"),
            pre.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    ordered = sorted(special, key=lambda token: special[token])
    for token in ordered:
        if special[token] != tokenizer.get_vocab_size():
            raise ModelError(
                f"the special token {token!r} has the id {special[token]}, the tokens before it "
                f"end at {tokenizer.get_vocab_size() - 1}"
            )
        tokenizer.add_special_tokens([AddedToken(token, normalized=False, special=True)])
    return tokenizer


def _last_pair(token: bytes, rank: int, ranks: Mapping[bytes, int]) -> tuple[bytes, bytes] | None:
    """The two parts that a token is merged from, with the ranks below its own."""
    parts = [bytes([byte]) for byte in token]
    while len(parts) > 2:
        best, where = rank, -1
        for index in range(len(parts) - 1):
            other = ranks.get(parts[index] + parts[index + 1], rank)
            if other < best:
                best, where = other, index
        if where < 0:
            return None  # reached as a whole piece only
        parts[where : where + 2] = [parts[where] + parts[where + 1]]
    return parts[0], parts[1]


def _byte_letters() -> dict[int, str]:
    """GPT-2's letter for each byte: itself where it can be printed, else one from 256 on."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {
        byte: chr(256 + index) for index, byte in enumerate(hidden)
    }


def qwen_tokenizer(files: CheckpointFiles) -> PreTrainedTokenizerBase | None:
    """Make the tokenizer of the first Qwen from qwen.tiktoken; None if that is not there.

    Text is brought to form C, special tokens in it are found, nothing is added around it. The
    published files name no end token; <|endoftext|>, which ended its documents, is taken.
    """
    file = files.path("qwen.tiktoken")
    if file is None:
        return None
    ranks = read_ranks(file)
    special = {token: len(ranks) + index for index, token in enumerate(_QWEN_SPECIAL)}
    fast = fast_from_ranks(ranks, QWEN_SPLIT, special, nfc=True)
    settings = files.json("tokenizer_config.json")
    return _wrapped(fast, settings, eos_token="<|endoftext|>", pad_token="<|endoftext|>")


def glm4_tokenizer(files: CheckpointFiles) -> PreTrainedTokenizerBase | None:
    """Make GLM-4's tokenizer from tokenizer.model, a rank file; None if that is not there.

    The default call puts [gMASK]<sop> in front, as the original does.
    """
    from tokenizers import processors

    file = files.path("tokenizer.model")
    settings = files.json("tokenizer_config.json")
    special = {
        entry["content"]: int(index)
        for index, entry in (settings.get("added_tokens_decoder") or {}).items()
    }
    if file is None or not special:
        return None
    fast = fast_from_ranks(read_ranks(file), GLM4_SPLIT, special)
    front = [(token, special[token]) for token in ("[gMASK]", "<sop>") if token in special]
    single = [token for token, _ in front]
    fast.post_processor = processors.TemplateProcessing(
        single=[*single, "$A"], pair=[*single, "$A", "$B"], special_tokens=front
    )
    return _wrapped(fast, settings, eos_token="<|endoftext|>", pad_token="<|endoftext|>")


def _wrapped(fast: Tokenizer, settings: Mapping[str, Any], **tokens: str) -> Any:
    from transformers import PreTrainedTokenizerFast

    named = {
        name: settings[name]
        for name in ("eos_token", "pad_token", "chat_template")
        if isinstance(settings.get(name), str)
    }
    length = settings.get("model_max_length")
    return PreTrainedTokenizerFast(
        tokenizer_object=fast,
        clean_up_tokenization_spaces=False,
        **({"model_max_length": length} if length else {}),
        **(tokens | named),
    )
