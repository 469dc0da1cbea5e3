import json

import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.msagent import msagent_map_fn
from xtune.errors import DataError

THINK = '<|startofthink|>```JSON\n{"api_name": "clock", "parameters": {}}\n```<|endofthink|>'
EXEC = '<|startofexec|>```JSON\n{"result": "12:00"}\n```<|endofexec|>'
ASKED = {"from": "user", "value": "Time?"}
SYSTEM = {"from": "system", "value": "Be brief."}


def row_of(answer):
    return {"id": "1", "conversations": [SYSTEM, ASKED, {"from": "assistant", "value": answer}]}


def said(answer):
    messages = msagent_map_fn(row_of(answer))["messages"]
    assert [m["content"] for m in messages[:2]] == ["Be brief.", "Time?"]
    return [(m["role"], m["content"]) for m in messages[2:]]


def test_a_think_block_ends_an_answer_and_an_exec_block_is_a_system_message():
    assert said(f"I look.\n{THINK}\n\n{EXEC}\nNoon.") == [
        ("assistant", f"I look.\n{THINK}"),
        ("system", EXEC),
        ("assistant", "Noon."),
    ]


def test_a_call_without_words_around_it():
    assert said(f"{THINK}{EXEC}") == [("assistant", THINK), ("system", EXEC)]


def test_several_calls_and_an_answer_without_one():
    twice = said(f"{THINK}\n{EXEC}\nAgain.{THINK}{EXEC}Noon.")
    assert [role for role, _ in twice] == ["assistant", "system"] * 2 + ["assistant"]
    assert said("Noon.") == [("assistant", "Noon.")]


def test_the_answers_are_trained_and_no_text_is_lost():
    answer = f"a {THINK} b {EXEC} c {THINK} {EXEC} d"
    messages = msagent_map_fn(row_of(answer))["messages"]
    assert all("loss" not in message for message in messages)
    rendered = "".join(message["content"] for message in messages[2:])
    assert "".join(rendered.split()) == "".join(answer.split())


def test_conversations_may_be_the_text_of_a_literal():
    row = row_of(f"{THINK}{EXEC}Noon.")
    for text in (json.dumps(row["conversations"]), repr(row["conversations"])):
        assert msagent_map_fn({"conversations": text}) == msagent_map_fn(row)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("", "empty answer"),
        (f"I look. {THINK[:-5]}", "a think or exec block that does not end"),
        ("12:00<|endofexec|> Noon.", "a think or exec block that does not end"),
        (f"{THINK}<|startofexec|>{THINK}", "a think or exec block that does not end"),
    ],
)
def test_rows_with_nothing_to_learn_are_unusable(answer, reason):
    with pytest.raises(UnusableRow) as caught:
        msagent_map_fn(row_of(answer))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"messages": []}, "no field 'conversations'; fields seen: 'messages'"),
        ({"conversations": "print(1)"}, "neither JSON nor a Python literal"),
        ({"conversations": [{"from": "user", "value": 5}]}, "'value' in 'conversations' must be"),
        ({"conversations": [{"from": "usr", "value": "x"}]}, "from 'usr'; did you mean 'user'"),
    ],
)
def test_another_format_is_fatal(row, message):
    with pytest.raises(DataError, match=message) as caught:
        msagent_map_fn(row)
    assert not isinstance(caught.value, UnusableRow)
