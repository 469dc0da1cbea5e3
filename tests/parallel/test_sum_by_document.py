"""Sums by document: of a pack, and of a row whose tokens several processes have."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.models.packs import pack, random_documents
from tests.parallel.ranks import on_every_rank
from xtune.data.collate import filler
from xtune.parallel.slices import slice_of, sum_by_document


def row_of(lengths):
    return pack(random_documents(lengths))


def numbers(count, seed=0):
    return torch.randn(count, generator=torch.Generator().manual_seed(seed)) * 5


def test_written_out():
    values = torch.tensor([1.0, 2.0, 3.0, 4.0, 5.0], requires_grad=True)
    sums = sum_by_document(values, row_of([3, 2]))
    assert sums.tolist() == [6.0, 9.0]
    assert sums.dtype == torch.float32
    (sums * torch.tensor([10.0, -1.0])).sum().backward()
    assert values.grad.tolist() == [10.0, 10.0, 10.0, -1.0, -1.0]


def test_a_mask_is_counted():
    batch = row_of([9, 4, 1])
    counts = sum_by_document(batch.labels[0] != -100, batch)
    parts = batch.labels[0].split([9, 4, 1])
    assert counts.tolist() == [float((part != -100).sum()) for part in parts]


def test_a_filler_has_one_document_of_zero():
    batch = filler(row_of([3, 2]))
    assert sum_by_document(torch.zeros(batch.tokens), batch).tolist() == [0.0]


def test_a_document_has_the_same_sum_to_the_bit_wherever_it_stands():
    own = numbers(1000)
    alone = sum_by_document(own, row_of([1000]))
    for before, after in ((1, 0), (700, 3), (5000, 400)):
        row = torch.cat([numbers(before, 1) * 1e4, own, numbers(after, 2)])
        lengths = [n for n in (before, 1000, after) if n]
        assert torch.equal(sum_by_document(row, row_of(lengths))[1:2], alone)


def test_many_small_numbers_are_not_lost_after_a_large_one():
    values = torch.cat([torch.tensor([-(2.0**20)]), torch.full((1000,), -0.01)])
    assert sum_by_document(values, row_of([1001])).item() == pytest.approx(-(2**20) - 10, abs=0.07)
    one_by_one = torch.segment_reduce(values, "sum", lengths=torch.tensor([1001]))
    assert one_by_one.item() == -(2.0**20)  # what fp32 makes of it


@settings(max_examples=40, deadline=None)
@given(
    size=st.sampled_from([2, 3, 4]), lengths=st.lists(st.integers(1, 12), min_size=1, max_size=6)
)
def test_processes_that_share_a_row_get_its_sums_and_gradients(size, lengths):
    batch = row_of(lengths)
    values = numbers(batch.tokens).requires_grad_()
    padding = torch.zeros(-batch.tokens % size)
    factors = numbers(len(lengths), 7)
    whole = sum_by_document(values, batch)
    (expected,) = torch.autograd.grad((whole * factors).tanh().sum(), values)

    def run(group):
        own = slice_of(batch, group)
        part = torch.cat([values.detach(), padding]).chunk(size)[group.rank].requires_grad_()
        sums = sum_by_document(part, own)
        ((sums * factors).tanh().sum() / group.size).backward()
        return sums.detach(), part.grad

    sums, grads = zip(*on_every_rank(size, run), strict=True)
    for some in sums:
        torch.testing.assert_close(some, whole.detach(), rtol=1e-6, atol=1e-6)
        assert torch.equal(some, sums[0])
    row = torch.cat(grads)
    torch.testing.assert_close(row[: batch.tokens], expected, rtol=1e-5, atol=1e-6)
    assert not row[batch.tokens :].any()


def test_values_of_another_batch_are_refused():
    batch = row_of([3, 2])
    for values in (torch.zeros(4), torch.zeros(1, 5)):
        with pytest.raises(ValueError, match=r"for a batch of 5 tokens: give one number"):
            sum_by_document(values, batch)
