import json

import pytest

from tests.data.map_fns.test_msagent import ASKED, EXEC, THINK, row_of
from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.msagent_react import msagent_react_map_fn
from xtune.errors import DataError

PLUGIN = {
    "plugin_name": "clock",
    "plugin_owner": "x",
    "plugin_schema_for_model": {
        "name": "clock",
        "description": "报时",
        "url": "http://x",
        "paths": [{"name": "clock", "parameters": [{"name": "city", "required": "True"}]}],
    },
}


def said(answer):
    messages = msagent_react_map_fn(row_of(answer))["messages"]
    return [(m["role"], m["content"]) for m in messages[2:]]


def test_a_call_its_result_and_the_rest_become_react_text():
    assert said(f"I look.\n{THINK}\n{EXEC}\nNoon.") == [
        ("assistant", "Thought:I look.\nAction:clock\nAction Input:{}"),
        ("system", 'Response:{"result": "12:00"}'),
        ("assistant", "Final Answer:Noon."),
    ]


def test_a_call_without_a_thought_and_an_answer_without_a_call():
    assert said(THINK)[0] == ("assistant", "Action:clock\nAction Input:{}")
    assert said("Noon.") == [("assistant", "Final Answer:Noon.")]


def test_raw_line_breaks_inside_a_call_are_read():
    block = '<|startofthink|>{"api_name": "say", "parameters": {"text": "a\nb"}}<|endofthink|>'
    assert said(block)[0][1] == 'Action:say\nAction Input:{"text": "a\\nb"}'


def test_plugins_in_the_system_text_become_a_list_of_tools():
    other = {**PLUGIN, "plugin_name": "calendar", "plugin_schema_for_model": None}
    plugins = f"你有插件。1. {json.dumps(PLUGIN)}\n\n2. {json.dumps(other)}"
    row = {
        "conversations": [
            {"from": "system", "value": plugins},
            ASKED,
            {"from": "assistant", "value": "Noon."},
        ]
    }
    system = msagent_react_map_fn(row)["messages"][0]["content"]
    assert '- clock：报时 参数：[{"name": "city", "required": "True"}]\n- calendar：' in system
    assert "[clock, calendar]" in system
    assert "plugin_name" not in system


def test_a_system_text_without_plugins_stays():
    assert msagent_react_map_fn(row_of("Noon."))["messages"][0]["content"] == "Be brief."


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (" ", "empty answer"),
        ("<|startofthink|>clock<|endofthink|>", "a call that is no JSON"),
        ("<|startofthink|>[1]<|endofthink|>", "a call without a name"),
        ("<|startofthink|>{}", "a think or exec block that does not end"),
    ],
)
def test_rows_with_nothing_to_learn_are_unusable(answer, reason):
    with pytest.raises(UnusableRow) as caught:
        msagent_react_map_fn(row_of(answer))
    assert caught.value.reason == reason


def test_a_plugin_that_is_no_json_is_unusable():
    row = {"conversations": [{"from": "system", "value": '1. {"plugin_name": '}, ASKED]}
    with pytest.raises(UnusableRow, match="a plugin that is no JSON"):
        msagent_react_map_fn(row)


def test_a_missing_field_is_fatal():
    with pytest.raises(DataError, match="no field 'conversations'"):
        msagent_react_map_fn({"id": 1})
