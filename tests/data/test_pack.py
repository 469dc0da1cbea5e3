from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtune.data.pack import pack
from xtune.errors import DataError


@given(st.lists(st.integers(1, 40)), st.integers(40, 100))
def test_every_sample_stands_in_exactly_one_pack_and_no_pack_is_too_long(lengths, length):
    packs = pack(lengths, length=length)
    assert sorted(index for members in packs for index in members) == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in members) <= length for members in packs)


@given(st.lists(st.integers(1, 40)), st.integers(40, 100))
def test_same_lengths_same_packs(lengths, length):
    assert pack(lengths, length=length) == pack(np.array(lengths, dtype=np.int64), length=length)


@given(st.lists(st.integers(1, 40), min_size=1), st.integers(40, 100))
def test_no_two_packs_could_be_one(lengths, length):
    # Best fit opens a pack only when no open one has room: at most one is half full or less.
    loads = [sum(lengths[index] for index in members) for members in pack(lengths, length=length)]
    assert sum(2 * load <= length for load in loads) <= 1


def test_takes_the_pack_with_the_least_room():
    # 7 and 6 open packs with room 3 and 4; 3 goes where it fits exactly, and 4.
    assert sorted(map(sorted, pack([7, 6, 3, 4], length=10))) == [[0, 2], [1, 3]]


def test_sample_longer_than_a_pack_is_an_error_that_names_it():
    with pytest.raises(DataError, match="sample 1 has 11 tokens"):
        pack([3, 11], length=10)


def test_fifty_thousand_rows_fill_their_packs():
    lengths = np.random.default_rng(0).integers(20, 400, 50_000)
    assert lengths.sum() / (len(pack(lengths, length=2048)) * 2048) > 0.99


def test_lengths_are_mixed_over_packs():
    """Rows of one length are often of one kind; a step must not see only those."""
    lengths = [100] * 60 + [20] * 300
    short = [sum(lengths[i] == 20 for i in each) for each in pack(lengths, length=1000)]
    assert min(short) > 0
    assert max(short) < 50  # 50 would fill a pack


def test_fills_nearly_as_well_as_longest_first():
    rng = np.random.default_rng(1)
    lengths = np.clip(np.exp(rng.normal(4.3, 0.75, 5000)).astype(int), 10, 1024)
    assert lengths.sum() / (1024 * len(pack(lengths, length=1024))) > 0.98
