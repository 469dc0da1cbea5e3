"""Merge the pieces of one SentencePiece model into another, as the Chinese-LLaMA projects did.

    base   <unk> <s> </s> … ▁the      ids as they were
    more   <unk> <s> </s> 上海 公园    what the base has not, appended in order: 上海, 公园

They count a piece as new if the base has no piece of the same text, so 32,000 pieces with 20,000
gave 49,953: 2,047 of the 20,000 were Llama's already (Cui, Yang, Yao, 2023, arXiv:2304.08177).
The ids here are theirs. The scores are not: they gave every new piece the score 0, above the
base's. Here new pieces stand below the base's, in their own order, so that the base's merges come
first and that SentencePiece and a list of merges, which has no ties, split a text alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xtune.errors import ModelError, UsageError

__all__ = ["Merged", "merge_sentencepiece", "read_sentencepiece"]

_NORMAL, _USER_DEFINED, _BPE = 1, 4, 2  # sentencepiece_model.proto


@dataclass(frozen=True, slots=True)
class Merged:
    """A merged model.

    Attributes:
        model: the bytes of a `tokenizer.model`.
        added: pieces that the base did not have, in the order of their ids.
        first: id of the first of them.
        given: pieces of the other model.
        known: pieces of it that the base has.
        left_out: control and byte pieces of it that the base has not: they stand for no text.
    """

    model: bytes
    added: tuple[str, ...]
    first: int
    given: int
    known: int
    left_out: tuple[str, ...]


def read_sentencepiece(file: Path) -> Any:
    """Return the ModelProto in a file.

    Raises:
        UsageError: there is no such file, or it is not a SentencePiece model.
    """
    from google.protobuf.message import DecodeError
    from sentencepiece import sentencepiece_model_pb2

    messages: Any = sentencepiece_model_pb2
    proto = messages.ModelProto()
    try:
        proto.ParseFromString(file.read_bytes())
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror or error}") from error
    except DecodeError:
        proto.Clear()
    if not proto.pieces:
        raise UsageError(
            f"{file} is no SentencePiece model; give the .model file that its training wrote"
        )
    return proto


def merge_sentencepiece(base: Any, more: Any) -> Merged:
    """Append what `base` does not have.

    Args:
        base: a ModelProto of kind BPE; not changed.
        more: another, of any kind.

    Raises:
        ModelError: `base` is of another kind, whose scores are probabilities.
    """
    if base.trainer_spec.model_type != _BPE:
        raise ModelError(
            "the base's SentencePiece model is no BPE: its scores are probabilities, among which "
            "new pieces have no place. Add them as --tokens instead"
        )
    merged = type(base)()
    merged.CopyFrom(base)
    texts = {piece.piece for piece in base.pieces}
    known = len([piece for piece in more.pieces if piece.piece in texts])
    lowest = min(piece.score for piece in base.pieces)
    added: list[str] = []
    left_out: list[str] = []
    for piece in more.pieces:
        if piece.piece in texts:
            continue
        if piece.type not in (_NORMAL, _USER_DEFINED):
            left_out.append(piece.piece)
            continue
        added.append(piece.piece)
        merged.pieces.add(piece=piece.piece, score=lowest - len(added), type=piece.type)
    merged.trainer_spec.vocab_size = len(merged.pieces)
    return Merged(
        model=merged.SerializeToString(),
        added=tuple(added),
        first=len(base.pieces),
        given=len(more.pieces),
        known=known,
        left_out=tuple(left_out),
    )
