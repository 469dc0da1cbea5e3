"""A base with a larger vocabulary, as a folder that is ready to train."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from xtune.checkpoint.disk import whole_folder
from xtune.errors import ModelError, UsageError
from xtune.export.export import write_model
from xtune.export.merge import published_dtype
from xtune.models import load_config, load_model, load_tokenizer
from xtune.models.families import CheckpointFiles, family_of_config
from xtune.models.gguf import is_gguf
from xtune.models.packed.quantizer import unpack_linears
from xtune.models.sentencepiece_merge import Merged, merge_sentencepiece, read_sentencepiece
from xtune.models.vocabulary import add_tokens, grow_vocabulary, rows_needed, token_pieces

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Expanded", "expand_with_sentencepiece", "expand_with_tokens", "read_tokens"]

_MODEL = "tokenizer.model"


@dataclass(frozen=True, slots=True)
class Expanded:
    """What became of the tokens that were given.

    Attributes:
        given: how many.
        known: of these, tokens of the base.
        duplicates: given more than once.
        left_out: control and byte pieces, which stand for no text.
        added: new tokens.
        unreached: new pieces that no sequence of merges arrives at.
        before: tokens of the base's tokenizer.
        after: tokens of the new one.
        rows_before: rows of the base's embedding.
        rows: rows of the new embedding.
    """

    given: int
    known: int
    duplicates: int
    left_out: tuple[str, ...]
    added: int
    unreached: int
    before: int
    after: int
    rows_before: int
    rows: int


def read_tokens(file: Path) -> list[str]:
    """Read a text file with one token a line, in UTF-8.

    Raises:
        UsageError: it cannot be read, has no line, or a line that is empty or white space.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{file} is no text in UTF-8: {error}") from error
    lines = text.removesuffix("\n").split("\n")  # splitlines knows ends that a token may contain
    if not text.strip():
        raise UsageError(f"{file} is empty; it should hold one token a line")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            raise UsageError(f"{file}:{number}: an empty line is no token; delete it")
    return lines


def expand_with_tokens(base: str, tokens: Sequence[str], out: Path, **settings: Any) -> Expanded:
    """Write `base` with added tokens, which are found in a text before it is split.

    Args:
        base: what `load_model` takes.
        tokens: those that it has, or that are given twice, are counted and passed over.
        out: a folder that is not there yet.
        settings: `init`, `pad_to_multiple_of`, `dtype`; see `_write`.

    Raises:
        UsageError: all tokens are there already.
        ModelError: `base` cannot be loaded.
        CheckpointError: the disk is full; nothing is left.
    """
    before, after = load_tokenizer(base), load_tokenizer(base)
    distinct = list(dict.fromkeys(tokens))
    added = add_tokens(after, distinct)
    if not added:
        raise UsageError(f"{base!r} has all of these {len(distinct)} tokens already")
    counts = {
        "given": len(tokens),
        "known": len(distinct) - len(added),
        "duplicates": len(tokens) - len(distinct),
        "left_out": (),
        "added": len(added),
        "unreached": 0,
    }
    return _write(base, out, before, after, counts, **settings)


def expand_with_sentencepiece(base: str, file: Path, out: Path, **settings: Any) -> Expanded:
    """Write `base` with the pieces of a SentencePiece model merged into its own.

    Args:
        base: what `load_model` takes; has a `tokenizer.model`.
        file: the other `.model`.
        out: a folder that is not there yet.
        settings: `init`, `pad_to_multiple_of`, `dtype`; see `_write`.

    Raises:
        UsageError: `file` is no SentencePiece model, or has nothing new.
        ModelError: `base` has no SentencePiece model, or tokens behind its pieces.
        CheckpointError: the disk is full; nothing is left.
    """
    more = read_sentencepiece(file)
    before = load_tokenizer(base)
    source = str(Path(base).expanduser())
    own = None if is_gguf(base) else CheckpointFiles(source).path(_MODEL)
    if own is None:
        raise ModelError(
            f"{base!r} has no {_MODEL}, so its tokenizer is no SentencePiece model that pieces "
            "could be merged into. Write the pieces into a text file, one a line, and give it as "
            "--tokens: they are then found before a text is split into the base's tokens"
        )
    merged = merge_sentencepiece(read_sentencepiece(own), more)
    if not merged.added:
        raise UsageError(f"{base!r} has all pieces of {file} already")
    taken = [t for t, number in before.get_vocab().items() if number >= merged.first]
    if taken:
        raise ModelError(
            f"{base!r} has {len(taken)} tokens behind its {merged.first} SentencePiece pieces "
            f"({', '.join(sorted(taken)[:3])}), and new pieces would take their ids. Write the "
            "pieces into a text file, one a line, and give it as --tokens"
        )
    after = _merged_tokenizer(own.parent, merged)
    counts = {
        "given": merged.given,
        "known": merged.known,
        "duplicates": merged.given - merged.known - len(merged.left_out) - len(merged.added),
        "left_out": merged.left_out,
        "added": len(merged.added),
        "unreached": _unreached(after, merged),
    }
    return _write(base, out, before, after, counts, model=merged.model, **settings)


def _merged_tokenizer(folder: Path, merged: Merged) -> PreTrainedTokenizerBase:
    """Load the merged model as the base's own is loaded, with its settings."""
    with tempfile.TemporaryDirectory() as place:
        for file in folder.glob("*.json"):
            if file.name != "tokenizer.json" and not file.name.endswith(".index.json"):
                shutil.copyfile(file, Path(place) / file.name)
        for file in folder.glob("*.jinja"):
            shutil.copyfile(file, Path(place) / file.name)
        (Path(place) / _MODEL).write_bytes(merged.model)
        tokenizer = load_tokenizer(place)
    vocabulary = tokenizer.get_vocab()
    for number, piece in enumerate(merged.added, merged.first):
        if vocabulary.get(piece) != number:
            raise ModelError(
                f"the piece {piece!r} should have got the id {number}, and has "
                f"{vocabulary.get(piece)}: this base's tokenizer does not read {_MODEL} as it is. "
                "Give the pieces as --tokens"
            )
    return tokenizer


def _unreached(tokenizer: PreTrainedTokenizerBase, merged: Merged) -> int:
    model = tokenizer.backend_tokenizer.model
    return sum(len(model.tokenize(piece)) != 1 for piece in merged.added)


def _write(
    base: str,
    out: Path,
    before: PreTrainedTokenizerBase,
    after: PreTrainedTokenizerBase,
    counts: dict[str, Any],
    *,
    model: bytes | None = None,
    init: Literal["subtokens", "mean"] = "subtokens",
    pad_to_multiple_of: int | None = None,
    dtype: str = "auto",
) -> Expanded:
    """Write the grown model and the tokenizer `after`.

    Args:
        base: what `load_model` takes.
        out: a folder; it gets its name when all of it is written.
        before: tokenizer of the base.
        after: the larger one.
        counts: for what is returned.
        model: a `tokenizer.model` to be laid next to it.
        init: see `grow_vocabulary`.
        pad_to_multiple_of: see `grow_vocabulary`.
        dtype: 'auto' is what the model's config.json says.
    """
    config = load_config(base)
    pieces = token_pieces(before, after)
    llm = load_model(base, dtype=published_dtype(config) if dtype == "auto" else dtype)
    unpack_linears(llm)
    rows_before = llm.config.get_text_config().vocab_size
    grow_vocabulary(llm, pieces, init=init, pad_to_multiple_of=pad_to_multiple_of)
    family = family_of_config(llm.config)
    layout = None if family is None else family.layouts(llm.config)[0]
    with whole_folder(out) as part:
        write_model(part, llm, after, {"base_model": base}, layout=layout)
        if model is not None:
            (part / _MODEL).write_bytes(model)
        if load_tokenizer(str(part)).get_vocab() != after.get_vocab():
            raise ModelError(
                "the tokenizer that was written has other tokens when it is read again, so the "
                f"folder is deleted. Please report this with the model's name: {base}"
            )
    return Expanded(
        **counts,
        before=len(before),
        after=len(after),
        rows_before=rows_before,
        rows=rows_needed(rows_before, pieces, pad_to_multiple_of),
    )
