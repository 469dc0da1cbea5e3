"""Samples to one Batch: end to end, no padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from xtune.structures import IGNORE_INDEX, Batch, Sample

__all__ = ["collate", "filler"]


def collate(samples: Sequence[Sample], indices: Sequence[int] = ()) -> Batch:
    """Lay samples end to end and shift their labels, each within itself.

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
        weights=_weights(samples),
    )


def _weights(samples: Sequence[Sample]) -> torch.Tensor | None:
    """The samples' weights, moved as their labels are; None if no sample has any."""
    if all(sample.weights is None for sample in samples):
        return None
    rows = [
        np.ones(len(sample), dtype=np.float32) if sample.weights is None else sample.weights
        for sample in samples
    ]
    # What is moved to a document's last position is another's: there is no label
    return torch.from_numpy(np.append(np.concatenate(rows)[1:], np.float32(1)))[None]


def filler(batch: Batch) -> Batch:
    """Return one token of a batch, for a process that has no micro-batch to run."""
    return Batch(
        input_ids=batch.input_ids[:, :1],
        position_ids=batch.position_ids[:, :1],
        labels=torch.full_like(batch.labels[:, :1], IGNORE_INDEX),
        cu_seqlens=torch.tensor([0, 1], dtype=torch.int32),
        max_seqlen=1,
        is_filler=True,
    )
