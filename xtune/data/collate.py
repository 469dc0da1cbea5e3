"""Samples to one Batch: end to end, no padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from xtune.structures import IGNORE_INDEX, Batch, Sample
from xtune.vectors import VECTORS

__all__ = ["collate", "filler"]


def collate(samples: Sequence[Sample], indices: Sequence[int] = ()) -> Batch:
    """Lay samples end to end and shift their labels, each within itself, and the vectors of labels.

        samples    [a0 a1 a2] [b0 b1]         labels of the samples  [. a1 a2] [. b1]
        input_ids  [[a0 a1 a2 b0 b1]]         labels of the batch    [[a1 a2  .  b1 .]]

    Args:
        samples: at least one, each of at least one token.
        indices: the data set's index of each sample.

    Returns:
        Batch with T the sum of the samples' lengths.
    """
    lengths = [len(sample) for sample in samples]
    ends = np.cumsum(lengths)
    labels = np.concatenate([sample.labels for sample in samples]).astype(np.int64)
    labels = np.append(labels[1:], IGNORE_INDEX)
    labels[ends - 1] = IGNORE_INDEX  # the next document's first token is not to be predicted
    return Batch(
        input_ids=torch.from_numpy(
            np.concatenate([sample.input_ids for sample in samples]).astype(np.int64)
        )[None],
        position_ids=torch.from_numpy(np.concatenate([np.arange(n) for n in lengths]))[None],
        labels=torch.from_numpy(labels)[None],
        cu_seqlens=torch.from_numpy(np.concatenate([[0], ends]).astype(np.int32)),
        max_seqlen=max(lengths),
        samples=tuple(indices),
        per_token={name: _row(name, samples) for name in _names("per_token", samples)},
        per_document={name: _column(name, samples) for name in _names("per_document", samples)},
    )


def _names(kind: str, samples: Sequence[Sample]) -> list[str]:
    """The vectors that any of the samples has, in one order wherever they are collated."""
    return sorted({name for sample in samples for name in getattr(sample, kind)})


def _row(name: str, samples: Sequence[Sample]) -> torch.Tensor:
    """A vector of the tokens of all samples: [1, T], shifted within each if it is of labels."""
    vector = VECTORS[name]
    rows = []
    for sample in samples:
        values = sample.per_token.get(name)
        row = vector.neutrals(len(sample)) if values is None else values
        if vector.kind == "label":  # the last position has no label
            row = np.concatenate([row[1:], vector.neutrals(1)])
        rows.append(row)
    return torch.from_numpy(np.concatenate(rows).astype(vector.dtype, copy=False))[None]


def _column(name: str, samples: Sequence[Sample]) -> torch.Tensor:
    """A vector of the documents: [S]."""
    vector = VECTORS[name]
    values = [sample.per_document.get(name, vector.neutral) for sample in samples]
    return torch.from_numpy(np.array(values, dtype=vector.dtype))


def filler(batch: Batch) -> Batch:
    """Return a batch for a process that has no micro-batch to run: of each document of the first
    group the first token, of which nothing is trained.
    """
    sides = batch.per_document.get("side")
    starts_of_groups = [0] if sides is None else (sides == 0).nonzero()[:, 0].tolist()
    documents = (*starts_of_groups, 1 if sides is None else len(sides))[1]
    firsts = batch.cu_seqlens[:documents].long()
    return Batch(
        input_ids=batch.input_ids[:, firsts],
        position_ids=batch.position_ids[:, firsts],
        labels=torch.full((1, documents), IGNORE_INDEX),
        cu_seqlens=torch.arange(documents + 1, dtype=torch.int32),
        max_seqlen=1,
        is_filler=True,
        per_token={name: values[:, firsts] for name, values in batch.per_token.items()},
        per_document={name: values[:documents] for name, values in batch.per_document.items()},
    )
