"""Rankings, and answers that were judged one by one: what becomes of them, and what is counted."""

from __future__ import annotations

import json
from itertools import islice

import numpy as np
import pytest

from tests.data.tiny_tokenizer import tiny_tokenizer
from xtune.data.judged_report import JudgedCounts
from xtune.data.preferences import PreferenceDataset, StreamedPreferenceDataset
from xtune.data.report import DataReport
from xtune.data.unpaired import StreamedUnpairedPreferenceDataset, UnpairedPreferenceDataset
from xtune.errors import DataError
from xtune.structures import IGNORE_INDEX

TOKENIZER = tiny_tokenizer()
LONG = "weather " * 60  # 61 tokens
ASKED = [{"role": "user", "content": "2?"}]


def said(text):
    return [{"role": "assistant", "content": text}]


def pair_map(row):
    """A pair of a prompt, with whatever else the row says of it."""
    more = {key: row[key] for key in ("margin", "soft_label", "safe", "source") if key in row}
    pair = {name: said(row[name]) for name in ("chosen", "rejected")}
    return {"prompt": ASKED, **pair, **more}


def ranking_map(row):
    more = {key: row[key] for key in ("ranks", "scores", "source") if key in row}
    return {"prompt": ASKED, "answers": [said(text) for text in row["answers"]], **more}


def judged_map(row):
    return {"prompt": ASKED, "completion": said(row["text"]), "label": row["label"]}


PAIR = {"chosen": "Two.", "rejected": "Three."}
RANKED = {"answers": ["Two.", "It is two.", "Three.", "Four."]}


@pytest.fixture
def make(write_rows):
    def make_dataset(rows, map_fn, kind=PreferenceDataset, **arguments):
        given = {"template": "chatml", "max_length": 128, "tokenizer": TOKENIZER, **arguments}
        return kind(data_path=write_rows(rows), map_fn=map_fn, **given)

    return make_dataset


def answer(sample) -> str:
    text = TOKENIZER.decode(sample.input_ids[sample.labels != IGNORE_INDEX])
    assert text.endswith("<|im_end|>")  # each answer is trained to end
    return text.removesuffix("<|im_end|>")


def column(made, name, count):
    return [made.sample(n).per_document.get(name) for n in range(count)]


def test_a_ranking_is_one_group_of_its_answers(make):
    made = make([{**RANKED, "ranks": [0, 1, 1, 2]}, RANKED], ranking_map)
    assert [answer(made.sample(n)) for n in range(4)] == RANKED["answers"]
    batch = made.batch([0])
    assert batch.per_document["side"].tolist() == [0, 1, 2, 3] * 2
    ranks = batch.per_document["rank"].tolist()
    assert sorted([ranks[:4], ranks[4:]]) == [[-1, -1, -1, -1], [0, 1, 1, 2]]
    report = made.report
    assert (report.groups, report.samples, report.kept) == (2, 8, 2)
    assert (report.judged.pairs, report.judged.ties) == (5 + 6, 1)


def test_scores_are_ranks_too(make):
    made = make([{**RANKED, "scores": [4, 3, 3, -1.5]}], ranking_map)
    assert column(made, "rank", 4) == [0, 1, 1, 2]
    assert column(made, "score", 4) == [4, 3, 3, -1.5]


def test_what_is_said_of_a_pair_is_said_of_its_documents(make):
    rows = [{**PAIR, "margin": 1.5}, {**PAIR, "soft_label": 0.75}, {**PAIR, "safe": [True, False]}]
    made = make(rows, pair_map, pack_to_max_length=False)
    batch = made.batch([0, 1, 2])
    assert {name: values.tolist() for name, values in batch.per_document.items()} == {
        "side": [0, 1] * 3,
        "score": [1.5, 0, 0, 0, 0, 0],
        "soft_label": [1, 1, 0.75, 0.75, 1, 1],
        "safe": [0, 0, 0, 0, 1, -1],
    }
    assert made.report.judged.with_margin == made.report.judged.with_soft_label == 1


def test_a_group_of_which_nothing_is_said_has_no_more_than_its_sides(make):
    made = make([PAIR], pair_map)
    assert [made.sample(n).per_document for n in range(2)] == [{"side": 0}, {"side": 1}]


@pytest.mark.parametrize(
    ("row", "map_fn", "reason"),
    [
        ({**RANKED, "ranks": [1, 1, 1, 1]}, ranking_map, "a tie: no answer is better than another"),
        ({**RANKED, "scores": [2, 2, 2, 2]}, ranking_map, "a tie: no answer is better th"),
        ({"answers": ["Two."]}, ranking_map, "fewer than two answers"),
        ({"answers": ["Two.", " "]}, ranking_map, "empty answer"),
        ({"answers": ["Two.", "Two."]}, ranking_map, "chosen and rejected are the same tokens"),
        ({**PAIR, "rejected": ""}, pair_map, "empty answer"),
        ({**PAIR, "margin": -1}, pair_map, "by its margin the rejected answer is the better one"),
        (
            {"answers": [LONG * 2, LONG + "."]},
            ranking_map,
            "the answers to one prompt are together lo",
        ),
    ],
)
def test_rows_that_hold_no_pair_are_counted_by_reason(make, row, map_fn, reason):
    report = make([row, PAIR | RANKED], map_fn).report
    ((told, count),) = report.dropped.items()
    assert told.startswith(reason)
    assert count == 1
    assert (report.rows, report.kept) == (2, 1)


@pytest.mark.parametrize(
    ("row", "map_fn", "message"),
    [
        ({**PAIR, "margin": "much"}, pair_map, "'margin' must be a finite number, not str 'much'"),
        ({**PAIR, "soft_label": 0.2}, pair_map, r"number from 0.5 \(a tie\) to 1, not float 0.2"),
        ({**PAIR, "safe": [1, 0]}, pair_map, r"'safe' must be two booleans, not list \[1, 0\]"),
        ({**RANKED, "ranks": [0, 1]}, ranking_map, "'ranks' must have a number for each of the 4"),
        ({**RANKED, "ranks": [0, 2, 1, 3]}, ranking_map, "must come best first, and their ranks"),
        ({**RANKED, "scores": [0, 1, 2, 3]}, ranking_map, "must come best first, and their scores"),
        ({"text": "Two.", "label": 1}, judged_map, "'label' must be true or false, not int 1"),
    ],
)
def test_what_cannot_be_said_stops_a_run(make, row, map_fn, message):
    with pytest.raises(DataError, match=message):
        make([row], map_fn)


def test_answers_that_are_empty_or_repeated_are_left_out_and_counted(make):
    made = make([{"answers": ["Two.", "", "Three.", "Two."]}], ranking_map)
    assert [answer(made.sample(n)) for n in range(2)] == ["Two.", "Three."]
    assert made.report.samples == 2
    assert made.report.judged.left_out == {
        "empty answer": 1,
        "the same tokens as a better answer": 1,
    }


def test_lengths_and_beginnings_are_told(make):
    rows = [
        {"chosen": "It is two.", "rejected": "It is"},
        {"chosen": "It", "rejected": "It is two."},
        {"chosen": "a.", "rejected": "b."},
    ]
    counts = make(rows, pair_map).report.judged
    assert (counts.longer, counts.shorter) == (1, 1)
    assert (counts.rejected_begins, counts.chosen_begins) == (1, 1)
    lengths = [len(TOKENIZER(row[name]).input_ids) + 1 for name in PAIR for row in rows]
    assert counts.chosen_tokens == sum(lengths[:3])
    assert counts.rejected_tokens == sum(lengths[3:])
    assert counts.length_ratio == counts.chosen_tokens / counts.rejected_tokens


def test_the_report_tells_a_reader():
    counts = JudgedCounts(pairs=4, ties=1, with_margin=2, chosen_tokens=60, rejected_tokens=40)
    counts.longer, counts.shorter, counts.chosen_begins = 3, 1, 1
    counts.left_out["empty answer"] = 2
    counts.forms["the field 'prompt'"] = 7
    counts.sources.update({"eli5": 1200} | {f"n{n}": 9 - n for n in range(9)})
    assert list(counts.lines()) == [
        "pairs     4, 2 with a margin, 1 ties",
        "lengths   chosen 15.0 tokens, rejected 10.0: ratio 1.50; the chosen one is longer in 75 % "
        "of the pairs, shorter in 25 %",
        "note      1 pairs: the chosen answer is how the rejected one begins",
        "left out  2 answers of rows that are kept: empty answer",
        "from      eli5 1,200, n0 9, n1 8, n2 7, n3 6, n4 5, n5 4, n6 3 and 2 more",
        "prompt    7 rows: the field 'prompt'",
    ]
    assert list(JudgedCounts().lines()) == []
    written = json.loads(json.dumps(DataReport(judged=counts).to_dict()))
    assert DataReport.from_dict(written).judged == counts


def test_a_judged_answer_is_a_sample_of_its_own(make):
    rows = [{"text": "Two.", "label": True}, {"text": "Three.", "label": False}]
    made = make(rows, judged_map, UnpairedPreferenceDataset)
    assert made.makes == "unpaired"
    assert [answer(made.sample(n)) for n in range(2)] == ["Two.", "Three."]
    assert [made.sample(n).per_document for n in range(2)] == [{"desirable": 1}, {"desirable": 0}]
    assert (made.report.groups, made.report.judged.good, made.report.judged.bad) == (2, 1, 1)
    assert "judged    1 good answers, 1 bad ones" in made.report.lines()


@pytest.mark.parametrize(
    ("row", "map_fn", "desirable"),
    [
        (PAIR, pair_map, [1, 0]),
        (RANKED, ranking_map, [1, 1, 0, 0]),
        (
            {"answers": ["Two.", "Well.", "Three."]},
            ranking_map,
            [1, 0],
        ),  # the middle one is neither
        ({**RANKED, "ranks": [0, 1, 1, 1]}, ranking_map, [1, 0, 0, 0]),
    ],
)
def test_pairs_and_rankings_are_split_into_judged_answers(make, row, map_fn, desirable):
    made = make([row], map_fn, UnpairedPreferenceDataset)
    assert column(made, "desirable", made.report.samples) == desirable
    assert made.report.groups == len(desirable)
    left_out = len(row.get("answers", PAIR)) - len(desirable)
    neither = "neither better nor worse than the other answers"
    assert made.report.judged.left_out == ({neither: left_out} if left_out else {})


def test_answers_that_are_split_are_too_long_one_by_one(make):
    report = make([{**PAIR, "rejected": LONG * 3}], pair_map, UnpairedPreferenceDataset).report
    assert (report.kept, report.samples) == (1, 1)
    assert report.judged.left_out == {"the answer is longer than max_length": 1}


def test_a_tie_is_neither_good_nor_bad(make):
    rows = [{**PAIR, "soft_label": 0.5}, PAIR]
    report = make(rows, pair_map, UnpairedPreferenceDataset).report
    assert report.dropped == {"a tie: no answer is better than another": 1}


def test_a_soft_label_that_answers_judged_alone_do_not_use_is_told(make):
    rows = [{**PAIR, "soft_label": 0.75}, PAIR]
    made = make(rows, pair_map, UnpairedPreferenceDataset)
    assert list(made.report.judged.lines()) == [
        "judged    2 good answers, 2 bad ones",
        "note      1 rows have a soft label, which answers that are judged alone do not use: each "
        "is taken as certain",
    ]


def test_judged_answers_are_no_pairs(make):
    with pytest.raises(DataError, match=r"makes a judged answer of a row.*UnpairedPreferenceData"):
        make([{"text": "Two.", "label": True}], judged_map)
    with pytest.raises(DataError, match="are to be answers that are judged good or bad"):
        make(
            [{"instruction": "2?", "output": "2", "input": ""}], "alpaca", UnpairedPreferenceDataset
        )


@pytest.mark.parametrize(
    ("kind", "streamed"),
    [
        (PreferenceDataset, StreamedPreferenceDataset),
        (UnpairedPreferenceDataset, StreamedUnpairedPreferenceDataset),
    ],
)
def test_cached_and_streamed_rankings_are_the_fresh_ones(make, monkeypatch, kind, streamed):
    rows = [
        {"answers": [f"{n}.", "Two.", f"It is {n}."], "ranks": [0, 0, n % 2 + 1]} for n in range(5)
    ]
    fresh = make(rows, ranking_map, kind)
    windows = islice(make(rows, ranking_map, streamed, window_rows=2).windows(), 3)
    samples = [sample for window in windows for sample in window.samples]
    monkeypatch.setattr("xtune.data.pipeline.Pipeline.chunks", lambda self: 1 / 0)
    cached = make(rows, ranking_map, kind)
    assert cached.report == fresh.report
    assert cached.identity == fresh.identity
    for number in range(fresh.report.samples):
        whole, other = fresh.sample(number), cached.sample(number)
        assert np.array_equal(whole.input_ids, samples[number].input_ids)
        assert whole.per_document == other.per_document
        told = {name: value for name, value in whole.per_document.items() if value != -1}
        assert told == {n: v for n, v in samples[number].per_document.items() if v != -1}


def test_a_mixture_adds_up_what_is_counted(write_rows):
    one, other = write_rows([PAIR] * 2, "one.jsonl"), write_rows([RANKED], "other.jsonl")
    mixed = PreferenceDataset(
        data_path=[
            {"data_path": one, "map_fn": pair_map},
            {"data_path": other, "map_fn": ranking_map},
        ],
        map_fn=pair_map,
        tokenizer=TOKENIZER,
        template="chatml",
        max_length=128,
    )
    assert (mixed.report.judged.pairs, mixed.report.groups, mixed.report.samples) == (8, 3, 8)


def test_tools_and_system_are_on_both_sides(make):
    tools = [{"type": "function", "function": {"name": "add", "description": "", "parameters": {}}}]

    def with_tools(row):
        prompt = [{"role": "system", "content": "Be brief."}, *ASKED]
        return {**pair_map(row), "prompt": prompt, "tools": tools}

    made = make([PAIR], with_tools, max_length=1024)
    for number in range(2):
        text = TOKENIZER.decode(made.sample(number).input_ids)
        assert "Be brief." in text
        assert '"name": "add"' in text
    assert made.report.unwritten == {}
