"""The agent demo's rows: what tools really return, and nothing held out is in train."""

import itertools
import json
import re

import pytest

from xtune.data.map_fns.openai import openai_map_fn
from xtune.demos.agent_tools import KINDS, TOOL_OPTIONS, AgentToolsSource, read_notes
from xtune.demos.held_out_words import HELD_OUT
from xtune.demos.train_words import TRAIN
from xtune.errors import DataError
from xtune.tools.base import ToolError
from xtune.tools.build import build_tools


def rows_of(split, rows=160):
    most = 48 if split == "validation" else rows
    return [row for _, row in AgentToolsSource(split=split, rows=most).rows()]


def requests_of(split, rows=160):
    """What is asked that needs a tool."""
    return [
        asked["content"]
        for row in rows_of(split, rows)
        for asked, answer in itertools.pairwise(row["messages"])
        if asked["role"] == "user" and answer.get("tool_calls")
    ]


@pytest.mark.parametrize("split", ["train", "validation", "held_out"])
def test_results_are_what_the_tools_return_and_answers_state_them(split):
    tools = {name: build_tools(name, options)[0] for name, options in TOOL_OPTIONS.items()}
    for row in rows_of(split):
        messages = row["messages"]
        assert openai_map_fn(row)["messages"]
        assert row["kind"] in KINDS
        heard = iter([m["content"] for m in messages if m["role"] == "tool"])
        for call in (c["function"] for m in messages for c in m.get("tool_calls", ())):
            try:
                result = str(tools[call["name"]].function(**call["arguments"]))
            except ToolError as error:
                result = str(error)
            assert result == next(heard)
            assert len(result) < 1200
        assert next(heard, None) is None
        assert all(fact in messages[-1]["content"] for fact in row["expect"])


def test_no_building_or_request_is_shared():
    train, validation = requests_of("train", 700), requests_of("validation")
    assert not set(train) & set(validation)
    assert not set(train + validation) & set(requests_of("held_out"))
    assert not set(TRAIN.unknown) & set(HELD_OUT.unknown)
    names = {note["name"] for note in read_notes(held_out=True)}
    assert len(names) > 15
    assert not names & {note["name"] for note in read_notes(held_out=False)}
    assert not names & set(re.findall(r"\w+", " ".join(train + validation)))


def test_no_number_or_label_that_is_dealt_is_shared():
    for pool in ("values", "minutes", "labels"):
        assert not set(getattr(TRAIN.words, pool)) & set(getattr(HELD_OUT.words, pool))


def written_out(wording):
    """A wording in all its alternatives."""
    parts = [part.split("|") for part in re.split(r"[\[\]]", wording)]
    return map("".join, itertools.product(*parts))


def test_no_wording_is_shared():
    def wordings(words):
        tables = [words.calculator, words.date, words.search, words.error, words.repair]
        tables.append(words.nested)
        lists = [texts for table in tables for texts in table.values()]
        raw = [
            text for texts in [*lists, words.convert, words.timer, words.joins] for text in texts
        ]
        return {each for text in raw for each in written_out(text)}

    assert not wordings(TRAIN) & wordings(HELD_OUT)


def test_rows_come_from_the_seed():
    assert rows_of("train", 20) == rows_of("train", 20)
    assert rows_of("train", 20) != [
        row for _, row in AgentToolsSource(split="train", rows=20, seed=1).rows()
    ]
    assert json.dumps(rows_of("held_out", 5))


def test_what_there_is_not_is_refused():
    with pytest.raises(DataError, match="no split 'heldout'; did you mean 'held_out'"):
        AgentToolsSource(split="heldout")
    with pytest.raises(DataError, match="has 1 to 160 rows, not rows=161"):
        AgentToolsSource(split="held_out", rows=161)
