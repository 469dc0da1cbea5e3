import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.colossalchat_prompt import colossalchat_prompt_map_fn
from xtune.errors import DataError

ANSWERED = {"from": "assistant", "content": "Hello!"}
SAID = {"role": "assistant", "content": "Hello!"}


@pytest.mark.parametrize("speaker", ["user", "human"])
def test_what_was_said_is_the_prompt(speaker):
    asked = {"from": speaker, "content": "Hi"}
    user = {"role": "user", "content": "Hi"}
    for messages in ([asked], [asked, ANSWERED]):
        assert colossalchat_prompt_map_fn({"messages": messages}) == {"prompt": [user]}
    longer = {"messages": [asked, ANSWERED, asked]}
    assert colossalchat_prompt_map_fn(longer) == {"prompt": [user, SAID, user]}


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        ([], "no messages"),
        ([ANSWERED], "empty request"),
        ([{"from": "human", "content": " "}], "empty request"),
    ],
)
def test_rows_that_ask_nothing_are_unusable(messages, reason):
    with pytest.raises(UnusableRow) as caught:
        colossalchat_prompt_map_fn({"messages": messages})
    assert caught.value.reason == reason


def test_a_missing_field_is_fatal():
    with pytest.raises(DataError, match="no field 'messages'; fields seen: 'prompt'"):
        colossalchat_prompt_map_fn({"prompt": "Hi"})
