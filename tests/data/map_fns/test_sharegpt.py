import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.sharegpt import sharegpt_map_fn
from xtune.errors import DataError

ASKED = {"from": "human", "value": "Time in Rome?"}
ANSWERED = {"from": "gpt", "value": "Noon."}


def test_speakers_become_roles():
    row = {"conversations": [{"from": "system", "value": "Be brief."}, ASKED, ANSWERED]}
    assert sharegpt_map_fn(row) == {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Time in Rome?"},
            {"role": "assistant", "content": "Noon."},
        ]
    }


@pytest.mark.parametrize("result", ["tool", "observation"])
def test_a_function_call_is_a_tool_call_and_its_result_a_tool_message(result):
    row = {
        "conversations": [
            ASKED,
            {
                "from": "function_call",
                "value": '[{"name": "clock", "arguments": {"city": "Rome"}}]',
            },
            {"from": result, "value": "12:00"},
            ANSWERED,
        ],
        "tools": '[{"name": "clock"}]',
    }
    made = sharegpt_map_fn(row)
    assert made["messages"][1:3] == [
        {
            "role": "assistant",
            "content": "",
            "tool_calls": [
                {"type": "function", "function": {"name": "clock", "arguments": {"city": "Rome"}}}
            ],
        },
        {"role": "tool", "content": "12:00"},
    ]
    assert made["tools"] == [{"name": "clock"}]


def test_a_system_beside_the_conversation_comes_first():
    row = {"system": "Be brief.", "conversations": [ASKED, ANSWERED]}
    assert sharegpt_map_fn(row)["messages"][0] == {"role": "system", "content": "Be brief."}


def test_loss_is_read():
    row = {"conversations": [ASKED, {**ANSWERED, "loss": "False"}, ASKED, ANSWERED]}
    losses = [message.get("loss") for message in sharegpt_map_fn(row)["messages"]]
    assert losses == [None, False, None, None]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([], "no messages"),
        ([ASKED], "no answer"),
        ([ASKED, {"from": "gpt", "value": None}], "empty answer"),
        ([ASKED, {"from": "function_call", "value": " "}], "empty function call"),
        ([ASKED, {"from": "function_call", "value": "[]"}], "empty answer"),
    ],
)
def test_rows_with_nothing_to_learn_are_unusable(said, reason):
    with pytest.raises(UnusableRow) as caught:
        sharegpt_map_fn({"conversations": said, "system": "Be brief."})
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ([{"from": "humn", "value": "x"}], "from 'humn'; did you mean 'human'. allowed: system"),
        ([{"from": None, "value": "x"}], "from None; allowed: system, human"),
        ([{"from": "human", "text": "x"}], "element 1 has no field 'value'; fields seen: 'from'"),
        (
            [ASKED, {"from": "function_call", "value": "clock()"}],
            "function_call in .* 2 is not JSON",
        ),
        (["Hi"], "element 1 must be an object with from and value"),
        ("Hi", "'conversations' is text, but neither"),
    ],
)
def test_another_format_is_fatal(said, message):
    with pytest.raises(DataError, match=message):
        sharegpt_map_fn({"conversations": said})


def test_a_missing_field_is_fatal():
    with pytest.raises(DataError, match="no field 'conversations'; fields seen: 'conversation'"):
        sharegpt_map_fn({"conversation": []})


def test_reasoning_weight_and_calls_beside_a_value_are_read():
    call = {"type": "function", "function": {"name": "f", "arguments": {}}}
    made = sharegpt_map_fn(
        {
            "conversations": [
                {"from": "human", "value": "Hi"},
                {"from": "model", "value": "Yo", "thinking": "Greet.", "weight": 2},
                {"from": "human", "value": "Hi"},
                {"from": "gpt", "value": "", "tool_calls": [call]},
            ]
        }
    )
    assert made["messages"][1] == {
        "role": "assistant",
        "content": "Yo",
        "reasoning_content": "Greet.",
        "weight": 2.0,
    }
    assert made["messages"][3]["tool_calls"] == [call]


def test_speakers_may_stand_in_messages_where_they_have_no_role():
    said = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}]
    assert sharegpt_map_fn({"messages": said}) == sharegpt_map_fn({"conversations": said})
    with pytest.raises(DataError, match="no field 'conversations'"):
        sharegpt_map_fn({"messages": [{"role": "user", "content": "Hi"}]})
