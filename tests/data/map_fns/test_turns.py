import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.build import checked_return
from xtune.data.map_fns.turns import turns_map_fn
from xtune.errors import DataError


def test_turns_become_messages():
    row = {
        "conversation": [
            {"system": "Be brief.", "input": "Hi", "output": "Hello!"},
            {"input": "Two and two?", "output": "Four.", "output_with_loss": True},
        ]
    }
    assert turns_map_fn(row)["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "Two and two?"},
        {"role": "assistant", "content": "Four."},
    ]


def test_a_tool_result_in_a_later_turns_system_needs_no_input():
    row = {
        "conversation": [
            {"input": "Time?", "output": "Action: clock"},
            {"system": "Response: 12:00", "input": "", "output": "Noon."},
        ]
    }
    assert turns_map_fn(row)["messages"][2:] == [
        {"role": "system", "content": "Response: 12:00"},
        {"role": "assistant", "content": "Noon."},
    ]


@pytest.mark.parametrize("false", [False, "False"])
def test_output_with_loss_false_is_not_trained(false):
    first = {"input": "Hi", "output": "Hello!", "output_with_loss": false}
    made = turns_map_fn({"conversation": [first, {"input": "Bye", "output": "Bye!"}]})
    assert [m.get("loss") for m in made["messages"]] == [None, False, None, None]


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        ([], "no messages"),
        ([{"input": "Hi", "output": ""}], "empty answer"),
        ([{"input": "Hi", "output": None}], "empty answer"),
        ([{"input": "", "output": "Hello!"}], "empty request"),
        (
            [{"input": "Hi", "output": "Hello!", "output_with_loss": False}],
            "no answer that is trained",
        ),
    ],
)
def test_rows_with_nothing_to_learn_are_unusable(turns, reason):
    with pytest.raises(UnusableRow) as caught:
        turns_map_fn({"conversation": turns})
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"messages": []}, "no field 'conversation'; fields seen: 'messages'"),
        ({"conversation": {}}, "'conversation' must be a list, not dict"),
        ({"conversation": ["Hi"]}, "turn 1 must be an object with input and output"),
        ({"conversation": [{"input": "Hi"}]}, "turn 1 has no field 'output'"),
        (
            {"conversation": [{"input": 5, "output": "x"}]},
            "'input' of turn 1 must be text, not int",
        ),
    ],
)
def test_another_format_is_fatal(row, message):
    with pytest.raises(DataError, match=message):
        turns_map_fn(row)


def test_what_a_function_of_xtuners_returns_is_what_its_rows_are():
    """One place turns turns into messages, for rows and for what a function makes of others."""
    turns = [
        {"system": "Be brief.", "input": "Hi", "output": "Hello!"},
        {"input": "Bye", "output": "Bye!", "output_with_loss": False},
    ]
    assert checked_return({"conversation": turns}) == turns_map_fn({"conversation": turns})
    with pytest.raises(UnusableRow):
        checked_return({"conversation": []})
    with pytest.raises(DataError, match="turn 1 has no field 'output'"):
        checked_return({"conversation": [{"input": "Hi"}]})
    with pytest.raises(DataError, match=r"or \{'text': '...'\}"):
        checked_return({"conversations": turns})


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (
            {"role": "human", "content": "Hi"},
            r"messages\[0\] of what the function returns has the role 'human'; allowed: system, us",
        ),
        ({"role": "assistent", "content": "Hi"}, r"'assistent'; did you mean 'assistant'\?"),
        (
            {"role": "user", "content": 5},
            r"messages\[0\]\['content'\] of what the function returns is 5; it is a text",
        ),
    ],
)
def test_what_a_function_of_ones_own_returns_is_checked(message, said):
    with pytest.raises(DataError, match=said):
        checked_return({"messages": [message]})
