from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtune.data.collate import collate
from xtune.data.loader import StepLoader
from xtune.parallel.world import World
from xtune.structures import Sample


class Items:
    """Stands for a data set whose batches are the items asked for."""

    report = None

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def batch(self, indices):
        return list(indices)


def loader(count, *, batch_size=2, accumulative_counts=3, seed=0, **options):
    return StepLoader(
        Items(count),
        batch_size=batch_size,
        accumulative_counts=accumulative_counts,
        seed=seed,
        **options,
    )


def epoch(steps, number):
    per_epoch = steps.steps_per_epoch
    return [
        item
        for step in range(number * per_epoch, (number + 1) * per_epoch)
        for micro_batch in steps.step(step)
        for item in micro_batch
    ]


@given(
    st.integers(1, 60),
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(0, 3),
    st.booleans(),
    st.integers(0, 2),
)
def test_each_epoch_visits_every_item_exactly_once(
    count, batch_size, accumulative_counts, number, shuffle, seed
):
    steps = loader(
        count,
        batch_size=batch_size,
        accumulative_counts=accumulative_counts,
        seed=seed,
        shuffle=shuffle,
    )
    assert sorted(epoch(steps, number)) == list(range(count))


def test_last_step_takes_what_is_left():
    steps = loader(15, shuffle=False)
    assert steps.steps_per_epoch == 3
    assert steps.step(0) == [[0, 1], [2, 3], [4, 5]]
    assert steps.step(2) == [[12, 13], [14]]
    assert steps.step(3) == steps.step(0)


def test_order_changes_with_epoch_and_seed_and_with_nothing_else():
    assert epoch(loader(30), 0) != epoch(loader(30), 1)
    assert epoch(loader(30), 0) != epoch(loader(30, seed=1), 0)
    assert epoch(loader(30), 1) == epoch(loader(30), 1)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_step_is_a_function_of_its_number(num_workers):
    steps = loader(50, num_workers=num_workers)
    fresh = loader(50)
    for number in (7, 3, 4, 5, 30, 0, 3):  # forwards, backwards, across epochs, twice
        assert steps.step(number) == fresh.step(number)


def test_error_in_a_worker_reaches_the_caller():
    steps = loader(6, num_workers=1)
    steps._dataset.batch = lambda indices: 1 / 0
    with pytest.raises(ZeroDivisionError):
        steps.step(0)


@given(count=st.integers(1, 40), size=st.integers(1, 5), accumulative_counts=st.integers(1, 3))
def test_the_processes_share_an_epoch_and_do_the_same_number_of_micro_batches(
    count, size, accumulative_counts
):
    loaders = [
        StepLoader(
            Samples(count),
            batch_size=2,
            accumulative_counts=accumulative_counts,
            seed=1,
            world=World(rank=rank, size=size),
        )
        for rank in range(size)
    ]
    shown = []
    for step in range(loaders[0].steps_per_epoch):
        batches = [loader.step(step) for loader in loaders]
        assert len({len(own) for own in batches}) == 1
        assert 1 <= len(batches[0]) <= accumulative_counts
        every = [batch for own in batches for batch in own]
        shown += [number for batch in every if not batch.is_filler for number in batch.samples]
        fillers = [batch for batch in every if batch.is_filler]
        assert all((batch.tokens, batch.trained_tokens) == (1, 0) for batch in fillers)
    assert sorted(shown) == list(range(count))


@given(
    lengths=st.lists(st.integers(1, 500), min_size=1, max_size=60),
    size=st.integers(2, 4),
    counts=st.integers(1, 8),
)
def test_what_the_processes_run_at_one_time_is_about_as_long(lengths, size, counts):
    data = Samples(len(lengths))
    data.item_tokens = lambda index: lengths[index]
    loaders = [
        StepLoader(
            data,
            batch_size=1,
            accumulative_counts=counts,
            seed=1,
            world=World(rank=rank, size=size),
        )
        for rank in range(size)
    ]
    for step in range(loaders[0].steps_per_epoch):
        own = [
            [sum(lengths[n] for n in b.samples) for b in loader.step(step) if not b.is_filler]
            for loader in loaders
        ]
        rounds = [[tokens[k] for tokens in own if k < len(tokens)] for k in range(len(own[0]))]
        # Nobody's next micro-batch is longer than the shortest of this round.
        for one, following in itertools.pairwise(rounds):
            assert min(one) >= max(following)
        longest = max(max(tokens, default=0) for tokens in own)
        if all(len(tokens) == len(own[0]) for tokens in own):
            assert max(map(sum, own)) - min(map(sum, own)) <= longest


class Samples:
    """Documents of two tokens, the data set's number in both."""

    report = None

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def item_tokens(self, index):
        return 2

    def batch(self, indices):
        ids = [np.array([n, n], dtype=np.int32) for n in indices]
        return collate([Sample(one, one) for one in ids], indices)
