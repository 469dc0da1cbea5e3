"""The demo's rows: right by construction, and nothing held out is in train."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from xtune.data.map_fns.openai import openai_map_fn
from xtune.demos.toolcall import KINDS, SYSTEM, ToolcallSource
from xtune.demos.toolcall_tables import CURRENCIES, HELD_OUT, REPLIES, TRAIN, UNITS
from xtune.errors import DataError

CONFIG = Path(__file__).parents[2] / "configs/_base_/datasets/toolcall.py"
ARGUMENTS = {
    "convert": {"value", "from_unit", "to_unit"},
    "exchange": {"value", "from_currency", "to_currency"},
    "weather": {"city", "date"},
    "timer": {"minutes", "label"},
    "remind": {"task", "date"},
}


def rows_of(split, **arguments):
    return [row for _, row in ToolcallSource(split=split, **arguments).rows()]


def request_of(row):
    return row["messages"][1]["content"]


def call_of(row):
    return json.loads(row["messages"][2]["content"])


def calls_of(split):
    return [call_of(row) for row in rows_of(split) if row["kind"] != "no_tool"]


@pytest.mark.parametrize(("split", "rows"), [("train", 450), ("validation", 24), ("held_out", 120)])
def test_every_split_has_each_kind_equally_often(split, rows):
    counted = Counter(row["kind"] for row in rows_of(split))
    assert counted == dict.fromkeys(KINDS, rows // len(KINDS))
    assert rows // len(KINDS) >= {"train": 75, "validation": 4, "held_out": 15}[split]


def test_a_row_has_the_form_that_the_openai_map_fn_reads():
    row = rows_of("train", rows=1)[0]
    assert openai_map_fn(row)["messages"] == row["messages"]
    assert [message["role"] for message in row["messages"]] == ["system", "user", "assistant"]
    assert row["messages"][0]["content"] == SYSTEM


@pytest.mark.parametrize("split", ["train", "validation", "held_out"])
def test_a_call_is_json_with_the_tools_own_arguments(split):
    for row in rows_of(split):
        if row["kind"] == "no_tool":
            assert row["messages"][2]["content"] in REPLIES.values()
            continue
        call = call_of(row)
        assert json.dumps(call) == row["messages"][2]["content"]
        assert list(call) == ["name", "arguments"]
        assert call["name"] == row["kind"]
        needed = ARGUMENTS[row["kind"]] - {"label"}
        assert needed <= set(call["arguments"]) <= ARGUMENTS[row["kind"]]


@pytest.mark.parametrize("split", ["train", "validation", "held_out"])
def test_every_argument_stands_in_the_request_and_nothing_that_stands_there_is_left_out(split):
    written = UNITS | CURRENCIES
    for row in rows_of(split):
        if row["kind"] == "no_tool":
            continue
        request, arguments = request_of(row), call_of(row)["arguments"]
        for value in arguments.values():
            forms = written.get(value, (str(value),))
            assert any(form.lower() in request.lower() for form in forms), (request, value)
        numbers = re.findall(r"\d+", request)
        assert numbers == re.findall(r"\d+", json.dumps(arguments))
        labels = [label for label in (*TRAIN.labels, *HELD_OUT.labels) if label in request]
        if row["kind"] == "timer" and labels:
            assert arguments["label"] == max(labels, key=len)


def test_units_and_currencies_are_written_in_ways_that_mean_one_thing():
    forms = [form for table in (UNITS, CURRENCIES) for forms in table.values() for form in forms]
    assert len(forms) == len(set(forms))


def test_no_request_comes_twice():
    requests = [request_of(row) for split in ("train", "validation") for row in rows_of(split)]
    assert len(requests) == len(set(requests))
    held_out = [request_of(row) for row in rows_of("held_out")]
    assert len(held_out) == len(set(held_out))


def test_no_wording_is_shared():
    def wordings(words):
        tables = [*words.wordings.values(), *words.plain.values()]
        # without punctuation, case and which slot it is, which would make another wording of it
        return {
            re.sub(r"[^a-z{} ]", "", re.sub(r"\{\w+\}", "{}", text).lower())
            for table in tables
            for text in table
        }

    assert not wordings(TRAIN) & wordings(HELD_OUT)


@pytest.mark.parametrize("table", ["cities", "labels", "tasks", "names", "topics", "dates"])
def test_no_entity_is_shared(table):
    assert not set(getattr(TRAIN, table)) & set(getattr(HELD_OUT, table))


def test_no_entity_or_argument_of_a_held_out_call_is_in_any_train_request():
    entities = {
        str(value)
        for call in calls_of("held_out")
        for value in call["arguments"].values()
        if value not in UNITS | CURRENCIES
    }
    assert len(entities) > 100
    seen = " ".join(request_of(row) for row in rows_of("train"))
    assert [entity for entity in entities if re.search(rf"\b{entity}\b", seen)] == []


def test_no_number_is_shared_wherever_it_stands():
    def numbers(split):
        return {number for row in rows_of(split) for number in re.findall(r"\d+", request_of(row))}

    train = numbers("train") | numbers("validation")
    assert not train & numbers("held_out")
    assert {digit for number in train for digit in number} == set("0123456789")


def test_rows_come_from_the_seed():
    assert rows_of("train") == rows_of("train")
    assert rows_of("train") != rows_of("train", seed=1)
    source = ToolcallSource(split="train")
    assert source.fingerprint() == ToolcallSource(split="train").fingerprint()
    assert source.fingerprint() != ToolcallSource(split="train", seed=1).fingerprint()
    assert source.fingerprint() != ToolcallSource(split="train", rows=5).fingerprint()


def test_fewer_rows_are_the_first_ones():
    assert rows_of("train", rows=7) == rows_of("train")[:7]
    assert [where for where, _ in ToolcallSource(split="held_out", rows=2).rows()] == [
        "toolcall[held_out] row 1",
        "toolcall[held_out] row 2",
    ]


@pytest.mark.parametrize("rows", [0, -1, 451])
def test_more_rows_than_there_are_is_refused(rows):
    with pytest.raises(DataError, match=f"has 1 to 450 rows, not rows={rows}"):
        ToolcallSource(split="train", rows=rows)


def test_an_unknown_split_is_refused():
    with pytest.raises(DataError, match="no split 'heldout'; did you mean 'held_out'"):
        ToolcallSource(split="heldout")


def test_the_configs_system_prompt_is_the_rows():
    assert f"SYSTEM = {SYSTEM!r}" in CONFIG.read_text()
