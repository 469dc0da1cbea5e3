"""Mixtures: which samples an epoch has, and that nothing else changes."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xtune.data.dataset import SFTDataset
from xtune.data.mixture import Share, choose, shares_of
from xtune.errors import DataError


def share(**given_):
    return Share(**{"data_path": "x", "map_fn": "alpaca", "split": "train", **given_})


def rows(word, count):
    return [
        {"instruction": f"{word} {n}?", "input": "", "output": f"{word} {n * n}"}
        for n in range(count)
    ]


@pytest.fixture
def mixed(tokenizer, write_rows, tmp_path):
    """Two files of 30 and 12 rows, and a data set of them."""
    files = [write_rows(rows("one", 30), "one.jsonl"), write_rows(rows("two", 12), "two.jsonl")]

    def make(*settings, **arguments):
        sources = [
            {"data_path": file, **setting} for file, setting in zip(files, settings, strict=False)
        ]
        return SFTDataset(
            **{
                "data_path": sources or files,
                "map_fn": "alpaca",
                "template": "chatml",
                "max_length": 64,
                "tokenizer": tokenizer,
                **arguments,
            }
        )

    return make


def shown(dataset) -> Counter[int]:
    return Counter(index for item in range(len(dataset)) for index in dataset.pack(item))


def test_a_mixture_without_settings_is_the_list_of_its_files(mixed):
    plain, mixture = mixed(), mixed({}, {})
    assert mixture.tokens == plain.tokens
    assert mixture.trained_tokens == plain.trained_tokens
    assert [mixture.pack(i) for i in range(len(mixture))] == [
        plain.pack(i) for i in range(len(plain))
    ]
    for index in range(42):
        assert np.array_equal(mixture.sample(index).input_ids, plain.sample(index).input_ids)
        assert np.array_equal(mixture.sample(index).labels, plain.sample(index).labels)


@pytest.mark.parametrize("packing", [True, False])
def test_epochs_say_how_often_each_sample_is_shown(mixed, packing):
    dataset = mixed({"epochs": 0.5}, {"epochs": 2.25}, pack_to_max_length=packing)
    counts = shown(dataset)
    first = {index: count for index, count in counts.items() if index < 30}
    second = {index: count for index, count in counts.items() if index >= 30}
    assert sorted(first.values()) == [1] * 15
    assert sorted(second.values()) == [2] * 9 + [3] * 3
    assert dataset.tokens == sum(counts[i] * len(dataset.sample(i)) for i in counts)
    trained = sum(count * int((dataset.sample(i).labels >= 0).sum()) for i, count in counts.items())
    assert dataset.trained_tokens == trained


def test_weights_are_shares_of_the_samples_and_show_none_twice(mixed):
    counts = shown(mixed({"weight": 1}, {"weight": 2}))
    assert set(counts.values()) == {1}
    assert sum(index < 30 for index in counts) == 6
    assert sum(index >= 30 for index in counts) == 12  # the scarce one, whole


def test_a_seed_chooses_and_a_weight_retokenises_nothing(mixed, monkeypatch):
    first = mixed({"epochs": 0.5}, {})
    monkeypatch.setattr("xtune.data.pipeline.Pipeline.chunks", None)  # nothing is read again
    again, other = mixed({"epochs": 0.5}, {}), mixed({"epochs": 0.5, "seed": 1}, {})
    assert shown(first) == shown(again) != shown(other)
    assert first.identity == again.identity != other.identity
    assert len(shown(other)) == len(shown(first))


def test_each_source_has_its_map_fn_its_cap_and_its_line_in_the_report(
    tokenizer, write_rows, tmp_path
):
    pairs = [{"question": f"{n} + 1?", "answer": f"#### {n + 1}"} for n in range(9)]
    sources = [
        {"data_path": write_rows([*rows("a", 5), rows("a", 1)[0] | {"output": ""}], "a.jsonl")},
        {"data_path": write_rows(pairs, "b.jsonl"), "map_fn": "auto", "max_rows": 7, "epochs": 2},
    ]
    report = SFTDataset(
        data_path=sources, map_fn="alpaca", template="chatml", max_length=64, tokenizer=tokenizer
    ).report
    assert [(one.rows, one.kept, one.samples, one.shown) for one in report.sources] == [
        (6, 5, 5, 5),
        (7, 7, 7, 14),
    ]
    assert report.rows == 13
    assert sum(report.dropped.values()) == 1
    assert report.samples == 19
    assert report.trained_tokens == sum(one.trained_tokens for one in report.sources)
    first, second = report.lines()[:2]
    assert "a.jsonl: 6 rows, 5 samples shown 1.00 times an epoch" in first
    assert "shown 2.00 times an epoch" in second
    assert "gsm8k: " in second  # what auto has chosen, and why


@given(
    st.lists(st.tuples(st.integers(1, 200), st.floats(0.01, 10)), min_size=1, max_size=5),
)
def test_weights_never_repeat_and_one_source_is_whole(sources):
    counts = [count for count, _ in sources]
    chosen = choose([share(weight=weight) for _, weight in sources], counts)
    assert all(
        len(set(one.tolist())) == len(one) <= n for one, n in zip(chosen, counts, strict=True)
    )
    assert any(len(one) == n for one, n in zip(chosen, counts, strict=True))


@pytest.mark.parametrize(
    ("sources", "message"),
    [
        ([{"data_path": "a", "weight": 1, "epochs": 1}], "weight or epochs, not both"),
        ([{"data_path": "a", "weight": 0}], "weight=0 must be above 0"),
        ([{"data_path": "a", "epochs": -1}], "epochs=-1 must be above 0"),
        ([{"data_path": "a", "weight": 1}, {"data_path": "b"}], "b has no weight"),
        ([{"data_path": "a", "wieght": 1}], "no 'wieght'; did you mean 'weight'"),
        ([{"data_path": "a"}, "b.jsonl"], r"data_path\[1\] must be a dict"),
    ],
)
def test_what_cannot_be_is_refused(sources, message):
    with pytest.raises(DataError, match=message):
        shares_of(sources, map_fn="alpaca", split="train", max_rows=None)
