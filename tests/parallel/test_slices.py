"""Slices of a row: together they are the row, with padding that counts for nothing."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xtune.data.collate import collate, filler
from xtune.parallel.sequence import UNSHARED, SequenceGroup
from xtune.parallel.slices import BatchSlice, slice_of
from xtune.structures import Sample


def batch_of(lengths):
    """Documents of rising tokens, each trained but for its first token."""
    samples, start = [], 10
    for length in lengths:
        ids = torch.arange(start, start + length, dtype=torch.int32).numpy()
        labels = ids.copy()
        labels[:1] = -100
        samples.append(Sample(ids, labels))
        start += length
    return collate(samples, range(len(lengths)))


def slices_of(batch, size):
    return [slice_of(batch, SequenceGroup(rank=rank, size=size)) for rank in range(size)]


def test_two_slices_written_out():
    first, second = slices_of(batch_of([3, 2]), 2)
    assert first.input_ids.tolist() == [[10, 11, 12]]
    assert second.input_ids.tolist() == [[13, 14, 14]]  # the last one again: the padding
    assert first.position_ids.tolist() == [[0, 1, 2]]
    assert second.position_ids.tolist() == [[0, 1, 0]]
    assert first.labels.tolist() == [[11, 12, -100]]
    assert second.labels.tolist() == [[14, -100, -100]]
    for one in (first, second):
        assert one.cu_seqlens.tolist() == [0, 3, 5, 6]
        assert one.cu_seqlens.dtype == torch.int32
        assert (one.max_seqlen, one.samples) == (3, (0, 1))


@given(
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=6),
    size=st.integers(2, 5),
)
def test_slices_are_the_row_and_its_padding(lengths, size):
    batch = batch_of(lengths)
    slices = slices_of(batch, size)
    total = sum(lengths)
    padding = -total % size
    assert {one.tokens for one in slices} == {(total + padding) // size}
    for name in ("input_ids", "position_ids", "labels"):
        row = torch.cat([getattr(one, name) for one in slices], dim=1)
        assert torch.equal(row[:, :total], getattr(batch, name)), name
        assert row.dtype == getattr(batch, name).dtype
    row = torch.cat([one.labels for one in slices], dim=1)
    assert (row[:, total:] == -100).all()
    bounds = [0, *torch.tensor(lengths).cumsum(0).tolist(), *([total + padding] if padding else [])]
    assert slices[0].cu_seqlens.tolist() == bounds
    assert slices[0].max_seqlen == max(*lengths, padding)
    assert sum(one.trained_tokens for one in slices) == batch.trained_tokens


def test_nothing_is_sliced_where_nothing_is_shared():
    batch = batch_of([3])
    assert slice_of(batch, UNSHARED) is batch


@pytest.mark.parametrize("size", [2, 3])
def test_a_fillers_one_token_is_enough_for_all(size):
    slices = slices_of(filler(batch_of([4])), size)
    assert [one.tokens for one in slices] == [1] * size
    assert all(one.is_filler and one.trained_tokens == 0 for one in slices)


def test_a_slice_stays_one_on_its_way_to_a_device():
    group = SequenceGroup(rank=1, size=2)
    moved = slice_of(batch_of([3, 2]), group).to("cpu")
    assert isinstance(moved, BatchSlice)
    assert moved.group is group
