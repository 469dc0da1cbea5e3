"""The files that a tokenizer is read from: what is missing, cut short or of another kind is named.

transformers makes an empty vocabulary of a folder without one, or takes half of it for all.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from xtune.models.families.files import CheckpointFiles

__all__ = ["missing_file", "name_tokens", "spoilt_file"]

logger = logging.getLogger(__name__)

# Each is a whole vocabulary, or the half of a pair
_WHOLE = ("tokenizer.json", "*.model", "*.tiktoken", "vocab.txt", "tekken.json", "spiece.*")
_PAIRS = (("vocab.json", "merges.txt"), ("encoder.json", "vocab.bpe"))
_JSON = (
    *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json"),
    "vocab.json",
)
_OF_BYTES = ("ByT5Tokenizer", "CanineTokenizer", "PerceiverTokenizer")  # need no file
_LFS = b"version https://git-lfs.github.com/spec/"
_AGAIN = "copy it again from the checkpoint"
_CUT = "was it cut short? Copy it again from the checkpoint"


def missing_file(
    folder: Path, *, own: Sequence[str] = (), knows_how_ranks_split: bool = False
) -> str | None:
    """Return what a folder's tokenizer lacks and what to do, or None if a vocabulary is there.

    Args:
        folder: of a checkpoint or an adapter.
        own: the vocabulary files that the model's family is published with.
        knows_how_ranks_split: see `Family`.
    """
    if not any(any(folder.glob(pattern)) for pattern in _WHOLE):
        halves = [pair for pair in _PAIRS if any((folder / name).is_file() for name in pair)]
        for pair in halves:
            if lacking := [name for name in pair if not (folder / name).is_file()]:
                there = next(name for name in pair if name not in lacking)
                return (
                    f"{folder} has {there} and no {lacking[0]}, which is the other half of the "
                    f"vocabulary: copy {lacking[0]}, or tokenizer.json, from the checkpoint"
                )
        if not halves and _class(folder) not in _OF_BYTES:
            wanted = " or ".join(own) or (
                "tokenizer.json; or tokenizer.model; or vocab.json and merges.txt"
            )
            inside = ", ".join(sorted(path.name for path in folder.iterdir())[:8])
            return (
                f"{folder} has no vocabulary: copy it from the checkpoint ({wanted}; inside are "
                f"{inside or 'no files'})"
            )
    if (folder / "tokenizer.json").is_file():
        return None
    ranks = folder / "tokenizer.model"
    if ranks.is_file() and _are_ranks(ranks):
        of_tiktoken = f"{ranks} is a vocabulary of tiktoken, which does not say"
        if not knows_how_ranks_split:
            return (
                f"{of_tiktoken} how text is split, nor what the special tokens are: copy "
                "tokenizer.json and tokenizer_config.json from the checkpoint too"
            )
        if not (folder / "tokenizer_config.json").is_file():
            return (
                f"{of_tiktoken} what the special tokens are: copy tokenizer_config.json from the "
                "checkpoint too"
            )
    return _spoilt_pieces(folder)


def spoilt_file(folder: Path) -> str | None:
    """Return which file of a folder's tokenizer cannot be read and what to do, or None."""
    for name in _JSON:
        file = folder / name
        if not file.is_file():
            continue
        if pointer := _lfs_pointer(file):
            return pointer
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            return f"{file} is not whole JSON ({error}; {file.stat().st_size:,} bytes): {_CUT}"
        if not isinstance(content, dict):
            return f"{file} is no JSON object: {_AGAIN}"
        if name == "tokenizer.json" and not isinstance(content.get("model"), dict):
            return f"{file} has no 'model', so it is no tokenizer of this form: {_AGAIN}"
    return _spoilt_pieces(folder)


def name_tokens(tokenizer: PreTrainedTokenizerBase, files: CheckpointFiles) -> None:
    """Name the ends of a text by the model's config: tokenizer.json alone has no names for them.

    Args:
        tokenizer: changed in place.
        files: of its checkpoint.
    """
    for role in ("eos_token", "bos_token"):
        for name in ("generation_config.json", "config.json"):
            number = files.json(name).get(f"{role}_id")
            number = number[0] if isinstance(number, list) and number else number
            if not isinstance(number, int) or not 0 <= number < len(tokenizer):
                continue
            if getattr(tokenizer, role) is None:
                setattr(tokenizer, role, tokenizer.convert_ids_to_tokens(number))
    if tokenizer.eos_token is None:
        logger.warning(
            "the tokenizer of %s has no end token, since there is no tokenizer_config.json: copy "
            "that file too, with the chat template",
            files.source,
        )


def _spoilt_pieces(folder: Path) -> str | None:
    for file in sorted([*folder.glob("*.model"), *folder.glob("*.tiktoken")]):
        if pointer := _lfs_pointer(file):
            return pointer
        if not _are_ranks(file) and not (file.suffix == ".model" and _are_pieces(file)):
            return (
                f"{file} is neither a SentencePiece model nor tiktoken's ranks "
                f"({file.stat().st_size:,} bytes): {_CUT}"
            )
    return None


def _lfs_pointer(file: Path) -> str | None:
    """What to do where Git has put a pointer in a file's place, or None."""
    with file.open("rb") as stream:
        if stream.read(len(_LFS)) != _LFS:
            return None
    return (
        f"{file} is a pointer of Git LFS and not the file: type `git lfs install && git lfs pull` "
        f"in {file.parent}"
    )


def _class(folder: Path) -> str:
    try:
        settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
        return str(settings.get("tokenizer_class"))
    except (OSError, ValueError, AttributeError):
        return ""


def _are_ranks(file: Path) -> bool:
    with file.open("rb") as stream:
        first = stream.readline(1000).split()
    try:
        base64.b64decode(first[0], validate=True)
        return len(first) == 2 and int(first[1]) >= 0
    except (IndexError, ValueError, binascii.Error):
        return False


def _are_pieces(file: Path) -> bool:
    from xtune.errors import UsageError
    from xtune.models.sentencepiece_merge import read_sentencepiece

    try:
        return bool(read_sentencepiece(file).pieces)
    except UsageError:
        return False
