"""`BatchSlice`: one process's part of a batch whose row several share.

With N = 2, a row of 5 tokens in two documents:

    input_ids     a0 a1 a2 | b0 b1 b1     the padding, here one token, is a document of its own
    position_ids   0  1  2 |  0  1  0
    labels        a1 a2  . | b1  .  .
    cu_seqlens    [0 3 5 6]  of the whole row, on both

Shapes: T tokens of the row with its padding, N processes, S documents of it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from xtune.parallel.sequence import UNSHARED, SequenceGroup, group_sum
from xtune.structures import IGNORE_INDEX, Batch
from xtune.vectors import VECTORS

__all__ = [
    "BatchSlice",
    "counted_before",
    "document_numbers",
    "group_numbers",
    "next_tokens",
    "share_of_step",
    "slice_of",
    "sum_by_document",
]


@dataclass(slots=True)
class BatchSlice(Batch):
    """A Batch whose ids, positions, labels and `per_token` are a slice of its row: [1, T / N].

    All else stays as it is of the whole row, which attention sees; in `per_document` the padding
    has no entry.

    Attributes:
        group: the processes that have the other slices.
        documents: S without the one that is padding.
    """

    group: SequenceGroup = UNSHARED
    documents: int = 0


def slice_of(batch: Batch, group: SequenceGroup) -> Batch:
    """Return this process's slice of a batch that its whole group has.

    Args:
        batch: the same on each process of the group.
        group: who shares the row.

    Returns:
        The batch itself where nothing is shared; else a BatchSlice. The slices' losses add up to
        the row's, whatever its length: its padding has no label.
    """
    if group.size == 1:
        return batch
    padded = _padded(batch, -batch.tokens % group.size)
    length = padded.tokens // group.size
    own = slice(group.rank * length, (group.rank + 1) * length)
    whole = {one.name: getattr(padded, one.name) for one in fields(Batch)}
    sliced = {
        "input_ids": padded.input_ids[:, own],
        "position_ids": padded.position_ids[:, own],
        "labels": padded.labels[:, own],
        "per_token": {name: values[:, own] for name, values in padded.per_token.items()},
    }
    return BatchSlice(**whole | sliced, group=group, documents=len(batch.cu_seqlens) - 1)


def share_of_step(batch: Batch, normalizer: float) -> float:
    """Return what the sums over a batch's documents count in those of a step.

    All who share a row have the sums of the whole, and each returns its share; a filler counts
    nothing.

    Args:
        batch: a micro-batch, or a slice of one.
        normalizer: what the step is divided by; where nothing is trained it is 0.
    """
    sharing = batch.group.size if isinstance(batch, BatchSlice) else 1
    return (0.0 if batch.is_filler else 1.0) / (normalizer or 1) / sharing


def sum_by_document(values: Tensor, batch: Batch) -> Tensor:
    """Add up the numbers of each document's tokens, those on other processes too.

        values      [1 2 3 4 5]
        cu_seqlens  [0 3 5]          ->  [6 9]

    Added in fp64 from a document's first token to its last: the sum is the same wherever the
    document stands in the pack. Each process of a group gets the sums of the whole row, and a loss
    made of them is to be shared out as `group_sum` says.

    Args:
        values: [T], one for each token of the batch: log-probabilities, or a mask to count.
        batch: whose documents they are; of a slice all processes of its group must call this.

    Returns:
        fp32 [S], differentiable; 0 for a document without tokens. The padding of a slice is none
        of them.

    Raises:
        ValueError: values that are not the batch's.
    """
    if values.shape != (batch.tokens,):
        raise ValueError(
            f"values of shape {tuple(values.shape)} for a batch of {batch.tokens} tokens: give "
            "one number for each token, [T]"
        )
    group = batch.group if isinstance(batch, BatchSlice) else UNSHARED
    documents = _documents(batch)
    start = group.rank * batch.tokens
    bounds = (batch.cu_seqlens[: documents + 1].long() - start).clamp(0, batch.tokens)
    # What comes after the last document is padding
    inside = torch.cat([bounds, bounds.new_full((1,), batch.tokens)])
    sums = torch.segment_reduce(values.double(), "sum", lengths=inside.diff(), unsafe=True)
    return group_sum(sums[:documents], group).float()


def document_numbers(batch: Batch) -> Tensor:
    """Return which document each token is of, int64 [T]; that of a slice's padding is S.

    Args:
        batch: whose tokens they are.
    """
    group = batch.group if isinstance(batch, BatchSlice) else UNSHARED
    start = group.rank * batch.tokens
    places = torch.ones_like(batch.input_ids[0]).cumsum(0) - 1 + start
    ends = batch.cu_seqlens[1 : _documents(batch) + 1].long()
    return torch.searchsorted(ends, places, right=True)


def counted_before(mask: Tensor, batch: Batch) -> Tensor:
    """Return how many tokens of a document before each one are in a mask, on other processes too.

        mask        [0 1 1 0 1]
        cu_seqlens  [0 3 5]          ->  [0 0 1 0 0]

    Args:
        mask: bool [T].
        batch: whose tokens they are; of a slice all processes of its group must call this.

    Returns:
        int64 [T]; of a slice's padding nothing that means anything.
    """
    group = batch.group if isinstance(batch, BatchSlice) else UNSHARED
    numbers, count = document_numbers(batch), _documents(batch)
    own = torch.bincount(numbers[mask], minlength=count + 1)[None]
    whole = own.new_zeros(group.size, count + 1)
    whole[group.rank] = own[0]
    earlier = group_sum(whole, group)[: group.rank].sum(0)
    before = mask.cumsum(0) - mask.long()
    # of the documents that begin further to the left in this slice
    left = (own[0].cumsum(0) - own[0])[numbers]
    return before - left + earlier[numbers]


def next_tokens(batch: Batch) -> Tensor:
    """Return what comes after each token within its document, trained or not: labels, int64 [T].

        input_ids   [a0 a1 a2 b0 b1]
        cu_seqlens  [0 3 5]          ->  [a1 a2 . b1 .]        '.' is -100

    Args:
        batch: whose tokens they are; of a slice all processes of its group must call this.
    """
    group = batch.group if isinstance(batch, BatchSlice) else UNSHARED
    ids, numbers = batch.input_ids[0], document_numbers(batch)
    edge = ids.new_zeros(group.size + 1)
    edge[group.rank] = ids[0]
    following = group_sum(edge, group)[group.rank + 1 :][:1]  # the next slice's first token
    labels = torch.cat([ids[1:], following])
    start = group.rank * batch.tokens
    ends = batch.cu_seqlens[1 : _documents(batch) + 1].long() - 1 - start
    labels[ends[(ends >= 0) & (ends < batch.tokens)]] = IGNORE_INDEX
    return labels.masked_fill(numbers == _documents(batch), IGNORE_INDEX)


def group_numbers(batch: Batch) -> Tensor:
    """Return which group of samples each document is of: the two of a pair have one number.

        side      [0 1 0 1 0 1]
        numbers   [0 0 1 1 2 2]

    Args:
        batch: whose documents they are; a group is whole in it, in a slice and in a filler too.

    Returns:
        int64 [S]; documents that are no groups are counted one by one.
    """
    sides = batch.per_document.get("side")
    if sides is None:
        return torch.arange(_documents(batch), device=batch.input_ids.device)
    return (sides == 0).cumsum(0) - 1


def _documents(batch: Batch) -> int:
    """S, without the padding of a slice."""
    return batch.documents if isinstance(batch, BatchSlice) else len(batch.cu_seqlens) - 1


def _padded(batch: Batch, count: int) -> Batch:
    """Add a document of `count` tokens: the last one again and again, nothing of it trained.

    `per_document` stays: the sums by document leave it out too.
    """
    if count == 0:
        return batch
    last = batch.input_ids[:, -1:]

    def longer(row: Tensor, by: Tensor) -> Tensor:
        return torch.cat([row, by.to(row)], dim=1)

    return replace(
        batch,
        input_ids=longer(batch.input_ids, last.expand(1, count)),
        position_ids=longer(batch.position_ids, torch.arange(count)[None]),
        labels=longer(batch.labels, torch.full((1, count), IGNORE_INDEX)),
        per_token={
            name: longer(values, torch.full((1, count), VECTORS[name].neutral))
            for name, values in batch.per_token.items()
        },
        cu_seqlens=torch.cat([batch.cu_seqlens, batch.cu_seqlens[-1:] + count]),
        max_seqlen=max(batch.max_seqlen, count),
    )
