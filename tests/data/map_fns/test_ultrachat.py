import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.ultrachat import ultrachat_map_fn
from xtune.errors import DataError

MESSAGES = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello!"},
    {"role": "user", "content": "Bye"},
    {"role": "assistant", "content": "Bye!"},
]


def test_texts_are_by_turns_the_users_and_the_assistants():
    assert ultrachat_map_fn({"id": "1", "data": ["Hi", "Hello!", "Bye", "Bye!"]}) == {
        "messages": MESSAGES
    }


def test_messages_are_openais():
    row = {"prompt": "Hi", "prompt_id": "x", "messages": MESSAGES}
    assert ultrachat_map_fn(row) == {"messages": MESSAGES}


@pytest.mark.parametrize(
    ("data", "reason"),
    [([], "no messages"), (["Hi"], "no answer"), (["Hi", ""], "empty answer")],
)
def test_rows_with_nothing_to_learn_are_unusable(data, reason):
    with pytest.raises(UnusableRow) as caught:
        ultrachat_map_fn({"data": data})
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"dialog": []}, "no field 'data'; fields seen: 'dialog'"),
        ({"data": "Hi"}, "'data' must be a list of texts, not str 'Hi'"),
        ({"data": [5, "x"]}, "content of message 1 must be text, not int 5"),
    ],
)
def test_another_format_is_fatal(row, message):
    with pytest.raises(DataError, match=message):
        ultrachat_map_fn(row)
