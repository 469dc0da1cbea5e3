import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.moss_003_sft import moss_003_sft_map_fn
from xtune.errors import DataError


def turn(human="3 * 3?", moss="Nine.", thoughts="None", commands="None", results="None"):
    return {
        "Human": f"<|Human|>: {human}<eoh>\n",
        "Inner Thoughts": f"<|Inner Thoughts|>: {thoughts}<eot>\n",
        "Commands": f"<|Commands|>: {commands}<eoc>\n",
        "Tool Responses": f"<|Results|>: {results}<eor>\n",
        "MOSS": f"<|MOSS|>: {moss}<eom>\n",
    }


ROW = {"conversation_id": 1, "meta_instruction": "You are MOSS.\n", "num_turns": 1}


def messages_of(*turns):
    chat = {f"turn_{number}": one for number, one in enumerate(turns, start=1)}
    return moss_003_sft_map_fn({**ROW, "chat": chat})["messages"]


def test_thoughts_and_commands_are_one_answer_results_are_shown_and_moss_answers():
    call = 'Calculate("3*3")'
    assert messages_of(turn(thoughts="A product.", commands=call, results=f"{call} => 9")) == [
        {"role": "system", "content": "You are MOSS."},
        {"role": "user", "content": "3 * 3?"},
        {
            "role": "assistant",
            "content": '<|Inner Thoughts|>: A product.<eot>\n<|Commands|>: Calculate("3*3")<eoc>',
        },
        {"role": "tool", "content": 'Calculate("3*3") => 9'},
        {"role": "assistant", "content": "Nine."},
    ]


def test_a_turn_that_needs_no_plugin_says_so():
    said = [message["content"] for message in messages_of(turn())[2:]]
    assert said == ["<|Inner Thoughts|>: None<eot>\n<|Commands|>: None<eoc>", "None", "Nine."]


def test_a_turn_without_plugins_has_a_request_and_an_answer():
    plain = {"Human": "<|Human|>: Hi<eoh>\n", "MOSS": "<|MOSS|>: Hello!<eom>\n"}
    nulls = {"Inner Thoughts": None, "Commands": None, "Tool Responses": None}
    for one in (plain, {**plain, **nulls}):
        assert [m["content"] for m in messages_of(one)] == ["You are MOSS.", "Hi", "Hello!"]


def test_turns_are_in_the_order_of_their_numbers_and_null_ones_are_none():
    chat = {"turn_10": turn("ten"), "turn_2": turn("two"), "turn_3": None}
    messages = moss_003_sft_map_fn({"chat": chat})["messages"]
    assert [m["content"] for m in messages if m["role"] == "user"] == ["two", "ten"]


def test_marks_inside_a_text_stay():
    (_, asked, *_, answer) = messages_of(turn("What is <eoh>?", "A mark: <|Human|>: ends so."))
    assert asked["content"] == "What is <eoh>?"
    assert answer["content"] == "A mark: <|Human|>: ends so."


@pytest.mark.parametrize(
    ("chat", "reason"),
    [
        ({}, "no messages"),
        ({"turn_1": None}, "no messages"),
        ({"turn_1": turn(human="")}, "empty request"),
        ({"turn_1": turn(moss=" ")}, "empty answer"),
    ],
)
def test_rows_with_nothing_to_learn_are_unusable(chat, reason):
    with pytest.raises(UnusableRow) as caught:
        moss_003_sft_map_fn({**ROW, "chat": chat})
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (ROW, "no field 'chat'; fields seen: 'conversation_id'"),
        ({"chat": []}, "'chat' must be an object of turns, not list"),
        ({"chat": {"first": turn()}}, "must hold turn_1, turn_2, ..., not 'first'"),
        ({"chat": {"turn_1": "Hi"}}, "turn_1 must be an object with Human and MOSS, not str"),
        ({"chat": {"turn_1": {"MOSS": "x"}}}, "turn_1 has no field 'Human'"),
        ({"chat": {"turn_1": {**turn(), "MOSS": 5}}}, "'MOSS' of turn_1 must be text, not int"),
    ],
)
def test_another_format_is_fatal(row, message):
    with pytest.raises(DataError, match=message) as caught:
        moss_003_sft_map_fn(row)
    assert not isinstance(caught.value, UnusableRow)
