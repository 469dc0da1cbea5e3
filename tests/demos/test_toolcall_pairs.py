"""The preference demo's rows: the better answer is the toolcall demo's, the worse one is wrong."""

import json
from collections import Counter

import pytest

from xtune.data.map_fns.preference import preference_map_fn
from xtune.demos.toolcall import ToolcallSource
from xtune.demos.toolcall_pairs import FAULTS, ToolcallPairsSource
from xtune.demos.toolcall_talk import HELD_OUT_TALK, TRAIN_TALK

SPLITS = {"train": 450, "validation": 24, "held_out": 120}


def rows_of(split):
    return [row for _, row in ToolcallPairsSource(split=split, rows=SPLITS[split]).rows()]


def sentences(talk):
    prose = (text for texts in talk.prose.values() for text in texts)
    return {*talk.openings, *talk.closings, *talk.refusals, *prose}


@pytest.mark.parametrize("split", SPLITS)
def test_requests_and_better_answers_are_those_of_the_toolcall_rows_so_they_are_split_alike(split):
    asked = [row["messages"] for _, row in ToolcallSource(split=split).rows()]
    assert [[*row["prompt"], _answer(row["chosen"])] for row in rows_of(split)] == asked


def _answer(text):
    return {"role": "assistant", "content": text}


@pytest.mark.parametrize("split", SPLITS)
def test_the_map_fn_reads_each_row_as_a_pair(split):
    for row in rows_of(split):
        pair = preference_map_fn(row)
        assert pair["prompt"] == row["prompt"]
        assert pair["chosen"] == [_answer(row["chosen"])]
        assert pair["rejected"] == [_answer(row["rejected"])]


@pytest.mark.parametrize("split", SPLITS)
def test_what_is_wrong_is_what_the_row_says_and_nothing_else(split):
    talk = HELD_OUT_TALK if split == "held_out" else TRAIN_TALK
    for row in rows_of(split):
        chosen, rejected, fault = row["chosen"], row["rejected"], row["source"]
        is_call = chosen.startswith("{")
        assert fault in FAULTS["call" if is_call else "no_tool"]
        if fault == "talk":
            opening, _, closing = rejected.partition(chosen)
            assert {opening, closing} <= {"", *talk.openings, *talk.closings}
            assert opening + closing
        elif fault == "prose":
            assert not rejected.startswith("{")
            assert "{" not in rejected  # every slot is filled
        elif fault == "needless_call":
            assert json.loads(rejected)["name"]
        elif fault == "wrong_tool":
            assert json.loads(rejected)["name"] != json.loads(chosen)["name"]
        else:
            right, wrong = json.loads(chosen), json.loads(rejected)
            assert right["name"] == wrong["name"]
            differing = dict(right["arguments"].items() ^ wrong["arguments"].items())
            swapped = {key.partition("_")[2] for key in differing} in ({"unit"}, {"currency"})
            assert len(differing) == (2 if swapped else 1)


def test_each_fault_comes_often_enough_to_be_measured():
    assert Counter(row["source"] for row in rows_of("held_out")) == {
        "wrong_argument": 25,
        "wrong_tool": 25,
        "prose": 25,
        "talk": 31,
        "needless_call": 14,
    }


def test_no_talk_is_shared_with_what_is_held_out():
    assert not sentences(TRAIN_TALK) & sentences(HELD_OUT_TALK)


def test_rows_come_from_the_seed_and_by_default_there_are_240():
    source = ToolcallPairsSource(split="train")
    assert source.fingerprint() == ToolcallPairsSource(split="train").fingerprint()
    assert source.fingerprint() != ToolcallPairsSource(split="train", seed=1).fingerprint()
    assert len(list(source.rows())) == 240
