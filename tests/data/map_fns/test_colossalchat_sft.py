import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.colossalchat_sft import colossalchat_sft_map_fn
from xtune.errors import DataError

ANSWERED = {"from": "assistant", "content": "Hello!"}


@pytest.mark.parametrize("speaker", ["user", "human"])
def test_user_and_human_are_the_user(speaker):
    asked = {"from": speaker, "content": "Hi"}
    row = {"messages": [asked, ANSWERED, asked, ANSWERED], "category": "x"}
    assert colossalchat_sft_map_fn(row)["messages"] == 2 * [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello!"},
    ]


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "no messages"),
        ([{"from": "human", "content": "Hi"}], "no answer"),
        ([{"from": "human", "content": "Hi"}, {**ANSWERED, "content": ""}], "empty answer"),
    ],
)
def test_rows_with_nothing_to_learn_are_unusable(messages, reason):
    with pytest.raises(UnusableRow) as caught:
        colossalchat_sft_map_fn({"messages": messages})
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"conversations": []}, "no field 'messages'; fields seen: 'conversations'"),
        ({"messages": "Hi"}, "'messages' must be a list of messages, not str"),
        ({"messages": [{"role": "user", "content": "x"}]}, "message 1 of 'messages' has no field"),
        ({"messages": [{"from": "Human", "content": "x"}]}, "did you mean 'human'"),
    ],
)
def test_another_format_is_fatal(row, message):
    with pytest.raises(DataError, match=message) as caught:
        colossalchat_sft_map_fn(row)
    assert not isinstance(caught.value, UnusableRow)
