"""The answers to one prompt in a row that has the prompt once: `fold`.

    batch    [system question good] [system question bad]   [system other good] [system other bad]
    row      [system question good            bad            other good                     bad]

The model's layers run on the row, which for pairs is a third to a half shorter; what they make of
it is read at every document's tokens again, so that an algorithm sees whole documents and nothing
else. A token's hidden state depends on what stands before it in its document alone, wherever
attention is all that mixes tokens: where documents may stand in one row at all. So the results,
gradients too, are those of whole documents up to rounding.

Shapes: T tokens of the batch, R tokens of the row, S documents.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.functional import pad

from xtune.losses.devices import runs_on_cpu
from xtune.models.attention.unfolding import Unfolding
from xtune.models.shape_rounding import round_up
from xtune.parallel.slices import BatchSlice
from xtune.structures import Batch

__all__ = ["Folded", "fold"]

_LEAST = 1 / 16  # of a batch's tokens; less is not worth the copies in attention


@dataclass(frozen=True, slots=True)
class Folded:
    """A batch's tokens, each that several documents have in common once.

    Attributes:
        input_ids: int64 [1, R].
        position_ids: int64 [1, R].
        documents: the batch, and a document of padding where R is rounded up.
        unfolding: which tokens of the row make up `documents`.
    """

    input_ids: Tensor
    position_ids: Tensor
    documents: Batch
    unfolding: Unfolding


def fold(batch: Batch) -> Folded | None:
    """Find what the documents of a batch of answers begin with alike.

    A document is compared with the one before it, the first answer to its prompt and the first of
    the batch, whose system text it may share.

    Args:
        batch: its groups are the answers to one prompt.

    Returns:
        None where little is shared, where other processes have parts of the row, and where the
        documents are no groups.
    """
    sides = batch.per_document.get("side")
    if sides is None or isinstance(batch, BatchSlice):
        return None
    ids, starts = batch.input_ids[0].cpu(), batch.cu_seqlens.tolist()
    documents = [ids[start:stop] for start, stop in zip(starts[:-1], starts[1:], strict=True)]
    places: list[Tensor] = []
    shared: list[int] = []
    tokens, first = 0, 0
    for number, (document, side) in enumerate(zip(documents, sides.tolist(), strict=True)):
        first = number if side == 0 else first
        length, like = 0, 0
        for other in {number - 1, first, 0} - {number, -1}:
            alike = _alike(document, documents[other])
            length, like = max((length, like), (alike, other))
        own = torch.arange(tokens, tokens + len(document) - length)
        places.append(torch.cat([places[like][:length], own]) if length else own)
        shared.append(length)
        tokens += len(own)
    if batch.tokens - tokens < _LEAST * batch.tokens:
        return None
    own = torch.cat(
        [
            torch.arange(start + alike, stop)
            for start, stop, alike in zip(starts[:-1], starts[1:], shared, strict=True)
        ]
    )
    device = batch.input_ids.device
    row = own.to(device)
    folded = Folded(
        input_ids=batch.input_ids[:, row],
        position_ids=batch.position_ids[:, row],
        documents=batch,
        unfolding=Unfolding(torch.cat(places).to(device), row, shared),
    )
    return _rounded(folded) if runs_on_cpu(batch.input_ids) else folded


def _alike(one: Tensor, other: Tensor) -> int:
    """How many tokens two documents begin with alike, less than either has."""
    length = min(len(one), len(other)) - 1
    different = (one[:length] != other[:length]).nonzero()
    return int(different[0]) if len(different) else length


def _rounded(folded: Folded) -> Folded:
    """A row of one of few lengths, see shape_rounding.py; what is added is a document itself."""
    tokens, batch, unfolding = folded.input_ids.shape[1], folded.documents, folded.unfolding
    more = round_up(tokens) - tokens
    if not more:
        return folded
    return Folded(
        input_ids=pad(folded.input_ids, (0, more)),
        position_ids=pad(folded.position_ids, (0, more)),
        documents=replace(
            batch,
            cu_seqlens=pad(batch.cu_seqlens, (0, 1), value=batch.tokens + more),
            max_seqlen=max(batch.max_seqlen, more),
        ),
        unfolding=Unfolding(
            torch.cat([unfolding.places, torch.arange(tokens, tokens + more)]),
            torch.cat([unfolding.own, torch.arange(batch.tokens, batch.tokens + more)]),
            [*unfolding.shared, 0],
        ),
    )
