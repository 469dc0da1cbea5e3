"""Streamed data: the samples of data read at once, and no more than two windows of them held."""

from __future__ import annotations

from itertools import islice
from weakref import WeakSet

import numpy as np
import pytest

from xtune.data.dataset import SFTDataset
from xtune.data.streaming import StreamedSFTDataset, StreamLoader, Window
from xtune.errors import DataError

ROWS = 50


class CountedRows:
    """Rows that are noted when they are read."""

    def __init__(self, *, unusable: tuple[int, ...] = ()) -> None:
        self.unusable = unusable
        self.read: list[int] = []

    def rows(self):
        for n in range(ROWS):
            self.read.append(n)
            output = "" if n in self.unusable else f"{n} and {n * n}"
            yield f"row {n}", {"instruction": f"{n}?", "input": "", "output": output}

    def fingerprint(self) -> str:
        return f"counted {self.unusable}"


@pytest.fixture
def make(tokenizer):
    def of(kind=StreamedSFTDataset, **arguments):
        return kind(
            **{
                "data_path": {"type": CountedRows},
                "map_fn": "alpaca",
                "template": "chatml",
                "max_length": 96,
                "tokenizer": tokenizer,
                **arguments,
            }
        )

    return of


def loader_of(dataset, *, seed=0):
    return StreamLoader(dataset, batch_size=1, accumulative_counts=2, seed=seed)


def texts(batches) -> list[bytes]:
    """The documents of a step, as bytes of their tokens."""
    return [
        document.numpy().tobytes()
        for batch in batches
        for document in batch.input_ids[0].tensor_split(batch.cu_seqlens[1:-1].long())
    ]


def test_an_epoch_of_windows_has_the_samples_of_the_data_set_read_at_once(make):
    whole = make(SFTDataset)
    windows = list(islice(make(window_rows=16).windows(), 4))  # 16, 16, 16 and 2 rows
    assert [(w.epoch, w.row, w.report.rows) for w in windows] == [
        (0, 0, 16), (0, 16, 16), (0, 32, 16), (0, 48, 2),
    ]  # fmt: skip
    streamed = [sample for window in windows for sample in window.samples]
    assert len(streamed) == ROWS
    for index, sample in enumerate(streamed):
        assert np.array_equal(sample.input_ids, whole.sample(index).input_ids)
        assert np.array_equal(sample.labels, whole.sample(index).labels)
    for window in windows:
        shown = [n for item in range(len(window)) for n in window.pack(item)]
        assert sorted(shown) == list(range(len(window.samples)))


def test_the_steps_of_an_epoch_show_each_document_once_and_the_next_epoch_begins_again(make):
    loader = loader_of(make(window_rows=16))
    expected = sorted(
        s.input_ids.astype(np.int64).tobytes()
        for w in islice(make(window_rows=16).windows(), 4)
        for s in w.samples
    )
    shown, step = [], 0
    while len(shown) < ROWS:
        shown += texts(loader.step(step))
        step += 1
    assert sorted(shown) == expected
    loader.step(step)
    assert (loader.window.epoch, loader.window.row) == (1, 0)


def test_each_epoch_of_a_window_has_an_order_of_its_own_and_a_seed_repeats_it(make):
    def epochs(seed):
        loader, step = loader_of(make(window_rows=ROWS, max_length=32), seed=seed), 0
        found = []
        for _ in range(3):
            shown = []
            while len(shown) < ROWS:
                shown += texts(loader.step(step))
                step += 1
            found.append(shown)
        return found

    first = epochs(0)
    assert epochs(0) == first
    assert sorted(first[0]) == sorted(first[1]) == sorted(first[2])
    assert len({tuple(order) for order in [*first, *epochs(1)]}) == 6


def test_no_more_is_read_than_this_window_and_the_next(make):
    dataset = make(window_rows=8)
    loader, read = loader_of(dataset), dataset._source.read
    assert max(read) < 8
    loader.step(0)
    loader._following().result()
    assert max(read) < 16
    step = 0
    while loader.window.row < 24:
        loader.step(step)
        step += 1
    loader._following().result()
    assert 31 <= max(read) < 40


def test_from_a_saved_state_on_the_steps_are_the_same(make):
    loader = loader_of(make(window_rows=8))
    steps, states = [], []
    for step in range(24):
        steps.append(texts(loader.step(step)))
        states.append(loader.state_dict())
    assert {state["epoch"] for state in states} >= {0, 1}
    for begin in (1, 7, 15, 23):
        resumed = loader_of(make(window_rows=8))
        resumed.load_state_dict(states[begin - 1])
        assert [texts(resumed.step(step)) for step in range(begin, 24)] == steps[begin:]


def test_two_windows_are_alive_at_most_also_where_a_run_goes_on(make, monkeypatch):
    alive: WeakSet[Window] = WeakSet()
    most = 0
    window_of = StreamedSFTDataset._window

    def counted(self, *arguments):
        nonlocal most
        made = window_of(self, *arguments)
        alive.add(made)
        most = max(most, len(alive))
        return made

    monkeypatch.setattr(StreamedSFTDataset, "_window", counted)
    loader = loader_of(make(window_rows=8))
    for step in range(10):
        loader.step(step)
    loader._following().result()
    state = loader.state_dict()
    assert loader.window.row > 0
    loader._thread.shutdown()  # a thread at rest holds no window
    del loader
    resumed = loader_of(make(window_rows=8))
    resumed._thread.shutdown()  # what the constructor has begun, if anything, is made by now
    resumed.load_state_dict(state)
    resumed.step(10)
    resumed._following().result()
    assert most == 2


def test_a_window_without_a_usable_row_is_passed_over_with_a_warning(make, caplog):
    unusable = {"type": CountedRows, "unusable": tuple(range(8, 16))}
    windows = list(islice(make(data_path=unusable, window_rows=8).windows(), 3))
    assert [window.row for window in windows] == [0, 16, 24]
    assert (
        "rows 8 to 15: no sample can be made of the 8 rows of CountedRows: 8 empty answer"
        in caplog.text
    )


def test_data_without_a_usable_row_and_mixtures_are_refused(make):
    nothing = {"type": CountedRows, "unusable": tuple(range(ROWS))}
    with pytest.raises(DataError, match="no sample can be made of"):
        loader_of(make(data_path=nothing, window_rows=8))
    with pytest.raises(DataError, match="one source"):
        make(data_path=[{"data_path": "a.jsonl"}])
    with pytest.raises(DataError, match="window_rows=0"):
        make(window_rows=0)
