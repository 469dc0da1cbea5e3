import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.openai import openai_map_fn
from xtune.errors import DataError

ASKED = {"role": "user", "content": "Time in Rome?"}
ANSWERED = {"role": "assistant", "content": "Noon."}
CLOCK = {"name": "clock", "arguments": {"city": "Rome"}}


def messages_of(*messages, **rest):
    return openai_map_fn({"messages": list(messages), **rest})["messages"]


def test_a_dialogue_with_a_tool_keeps_calls_results_and_descriptions():
    tools = [{"type": "function", "function": {"name": "clock"}}]
    called = {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "call_1",
                "type": "function",
                "function": {"name": "clock", "arguments": '{"city": "Rome"}'},
            }
        ],
    }
    told = {"role": "tool", "content": "12:00", "tool_call_id": "call_1", "name": "clock"}
    made = openai_map_fn({"messages": [ASKED, called, told, ANSWERED], "tools": tools})
    assert made == {
        "messages": [
            ASKED,
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"id": "call_1", "type": "function", "function": CLOCK}],
            },
            told,
            ANSWERED,
        ],
        "tools": tools,
    }


@pytest.mark.parametrize(
    "call",
    [
        {"function": {"name": "clock", "arguments": '{"city": "Rome"}'}},
        {"name": "clock", "arguments": {"city": "Rome"}},
    ],
)
def test_arguments_become_a_dict_however_they_are_written(call):
    made = messages_of(ASKED, {"role": "assistant", "tool_calls": [call]})
    assert made[1]["tool_calls"] == [{"type": "function", "function": CLOCK}]


def test_a_call_without_arguments_has_empty_ones():
    call = {"function": {"name": "now", "arguments": ""}}
    made = messages_of(ASKED, {"role": "assistant", "tool_calls": [call]})
    assert made[1]["tool_calls"][0]["function"] == {"name": "now", "arguments": {}}


def test_tools_may_be_json_text_as_tables_hold_them():
    made = openai_map_fn({"messages": [ASKED, ANSWERED], "tools": '[{"name": "clock"}]'})
    assert made["tools"] == [{"name": "clock"}]


@pytest.mark.parametrize("nothing", [None, "", [], "[]"])
def test_no_tools_leave_no_key(nothing):
    assert "tools" not in openai_map_fn({"messages": [ASKED, ANSWERED], "tools": nothing})


@pytest.mark.parametrize("false", [False, "False", "false"])
def test_an_answer_with_loss_false_is_shown_but_not_trained(false):
    made = messages_of(ASKED, {**ANSWERED, "loss": false}, ASKED, ANSWERED)
    assert [message.get("loss") for message in made] == [None, False, None, None]


@pytest.mark.parametrize("true", [True, "True", "true", None])
def test_an_answer_with_loss_true_is_trained_as_by_default(true):
    assert "loss" not in messages_of(ASKED, {**ANSWERED, "loss": true})[1]


def test_openais_own_weight_is_a_loss():
    made = messages_of(ASKED, {**ANSWERED, "weight": 0}, ASKED, {**ANSWERED, "weight": 1})
    assert [message.get("loss") for message in made] == [None, False, None, None]


@pytest.mark.parametrize("odd", ["no", 1, 0.5, []])
def test_another_loss_is_fatal(odd):
    with pytest.raises(DataError, match="'loss' must be true or false, not"):
        messages_of(ASKED, {**ANSWERED, "loss": odd})


def test_text_parts_are_joined():
    parts = [{"type": "text", "text": "Time "}, {"type": "text", "text": "in Rome?"}]
    assert messages_of({"role": "user", "content": parts}, ANSWERED)[0] == ASKED


@pytest.mark.parametrize("kind", ["image_url", "input_audio", "video"])
def test_a_part_that_is_no_text_makes_its_row_unusable(kind):
    parts = [{"type": "text", "text": "What is this?"}, {"type": kind, kind: {"url": "x"}}]
    with pytest.raises(UnusableRow, match=f"content part of the type '{kind}', and only text"):
        messages_of({"role": "user", "content": parts}, ANSWERED)


def test_a_part_of_another_form_is_fatal():
    with pytest.raises(DataError, match="message 1 has a content part.*Only text"):
        messages_of({"role": "user", "content": [{"txt": "Hi"}]}, ANSWERED)


def test_a_leading_answer_is_context_only():
    greeting = {"role": "assistant", "content": "Welcome!"}
    system = {"role": "system", "content": "Be brief."}
    made = messages_of(system, greeting, ASKED, ANSWERED)
    assert [message.get("loss") for message in made] == [None, False, None, None]


def test_an_answer_to_a_system_message_alone_is_trained():
    system = {"role": "system", "content": "Write a haiku."}
    assert messages_of(system, ANSWERED) == [system, ANSWERED]


def test_an_empty_system_message_is_kept():
    empty = {"role": "system", "content": ""}
    assert messages_of(empty, ASKED, ANSWERED) == [empty, ASKED, ANSWERED]


def test_a_system_message_may_stand_in_the_middle_and_one_that_is_null_is_left_out():
    middle = {"role": "system", "content": "Now in French."}
    made = messages_of(
        {"role": "system", "content": None}, ASKED, ANSWERED, middle, ASKED, ANSWERED
    )
    assert made == [ASKED, ANSWERED, middle, ASKED, ANSWERED]


def test_unknown_keys_are_left_out():
    assert messages_of({**ASKED, "id": 5}, {**ANSWERED, "refusal": None}) == [ASKED, ANSWERED]


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "no messages"),
        ([ASKED], "no answer"),
        ([ASKED, {"role": "assistant", "content": ""}], "empty answer"),
        ([ASKED, {"role": "assistant", "content": None}], "empty answer"),
        ([ASKED, {"role": "assistant"}], "empty answer"),
        ([ASKED, {"role": "assistant", "content": None, "tool_calls": []}], "empty answer"),
        ([{"role": "user", "content": None}, ANSWERED], "empty request"),
        ([ASKED, {**ANSWERED, "loss": False}], "no answer that is trained"),
        ([ANSWERED], "answers to no request; a text to pretrain on is a row of {'text': …}"),
    ],
)
def test_rows_with_nothing_to_learn_are_unusable(messages, reason):
    with pytest.raises(UnusableRow) as caught:
        openai_map_fn({"messages": messages})
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "Hi"}, "no field 'messages'; fields seen: 'prompt'"),
        ({"messages": "Hi"}, "'messages' is text, but neither JSON"),
        ({"messages": ["Hi"]}, "message 1 must be an object with a role, not str 'Hi'"),
        ({"messages": [{"content": "Hi"}]}, "message 1 has the role None; allowed: system, user"),
        (
            {"messages": [ASKED, {"role": "asistant", "content": "x"}]},
            "message 2 has the role 'asistant'; did you mean 'assistant'. allowed: system, user",
        ),
        (
            {"messages": [{"role": "user", "content": 5}]},
            "content of message 1 must be text, not i",
        ),
        (
            {"messages": [ASKED, {"role": "assistant", "tool_calls": [{"function": {}}]}]},
            "a tool call of message 2 must be",
        ),
        (
            {
                "messages": [
                    ASKED,
                    {"role": "assistant", "tool_calls": [{"name": "f", "arguments": "{x"}]},
                ]
            },
            "arguments of f.*neither JSON nor",
        ),
        (
            {
                "messages": [
                    ASKED,
                    {"role": "assistant", "tool_calls": [{"name": "f", "arguments": "[1]"}]},
                ]
            },
            "arguments of 'f' in message 2 must be an object",
        ),
        (
            {"messages": [ASKED, ANSWERED], "tools": {"a": 1}},
            "'tools' must be a list of descriptions, not dict",
        ),
    ],
)
def test_another_format_is_fatal(row, message):
    with pytest.raises(DataError, match=message) as caught:
        openai_map_fn(row)
    assert not isinstance(caught.value, UnusableRow)


@pytest.mark.parametrize(
    ("role", "meant"),
    [
        ("developer", "system"),
        ("human", "user"),
        ("User", "user"),
        ("model", "assistant"),
        ("gpt", "assistant"),
        ("CHATBOT", "assistant"),
        ("function", "tool"),
    ],
)
def test_the_roles_of_others_are_read_as_ours(role, meant):
    made = messages_of({"role": role, "content": "Time in Rome?"}, ASKED, ANSWERED)
    assert made[0]["role"] == meant


OLD_CALL = {"name": "clock", "arguments": '{"city": "Rome"}'}
NEW_CALL = {
    "type": "function",
    "function": {"name": "clock", "arguments": {"city": "Rome"}},
}


@pytest.mark.parametrize("content", [None, "Let me see."])
@pytest.mark.parametrize("call", [OLD_CALL, '{"name": "clock", "arguments": {"city": "Rome"}}'])
def test_openais_older_calls_are_read_as_the_newer(content, call):
    clock = {"name": "clock", "parameters": {"type": "object"}}
    made = openai_map_fn(
        {
            "functions": [clock],
            "messages": [
                ASKED,
                {"role": "assistant", "content": content, "function_call": call},
                {"role": "function", "name": "clock", "content": "12:00"},
                ANSWERED,
            ],
        }
    )
    assert made["tools"] == [{"type": "function", "function": clock}]
    assert made["messages"][1:3] == [
        {"role": "assistant", "content": content or "", "tool_calls": [NEW_CALL]},
        {"role": "tool", "content": "12:00", "name": "clock"},
    ]


@pytest.mark.parametrize("key", ["reasoning_content", "thinking", "reasoning"])
def test_reasoning_is_read_in_each_of_its_spellings(key):
    assert messages_of(ASKED, {**ANSWERED, key: "It is noon."})[1] == {
        **ANSWERED,
        "reasoning_content": "It is noon.",
    }


def test_a_part_of_thinking_is_reasoning():
    parts = [{"type": "thinking", "thinking": "Noon."}, {"type": "text", "text": "12:00"}]
    assert messages_of(ASKED, {"role": "assistant", "content": parts})[1] == {
        "role": "assistant",
        "content": "12:00",
        "reasoning_content": "Noon.",
    }


def test_the_parameters_of_a_call_are_its_arguments():
    call = {"name": "clock", "parameters": {"city": "Rome"}}
    made = messages_of(ASKED, {"role": "assistant", "tool_calls": [call]})
    assert made[1]["tool_calls"] == [NEW_CALL]


@pytest.mark.parametrize(
    "both",
    [
        {"thinking": "Noon.", "reasoning_content": "Noon."},
        {"function_call": OLD_CALL, "tool_calls": [NEW_CALL]},
    ],
)
def test_both_spellings_may_say_the_same(both):
    assert len(messages_of(ASKED, {**ANSWERED, **both})[1]) == 3


@pytest.mark.parametrize(
    "both",
    [
        {"thinking": "Noon.", "reasoning_content": "Night."},
        {"function_call": {"name": "other", "arguments": {}}, "tool_calls": [NEW_CALL]},
    ],
)
def test_spellings_that_contradict_each_other_make_a_row_unusable(both):
    with pytest.raises(UnusableRow, match="say different things"):
        messages_of(ASKED, {**ANSWERED, **both})


def test_tools_and_functions_that_differ_make_a_row_unusable():
    row = {"messages": [ASKED, ANSWERED], "tools": [{"name": "a"}], "functions": [{"name": "b"}]}
    with pytest.raises(UnusableRow, match="'tools' and 'functions' say different things"):
        openai_map_fn(row)
