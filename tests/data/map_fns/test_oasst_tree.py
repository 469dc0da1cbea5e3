import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.oasst_tree import oasst_tree_map_fn
from xtune.errors import DataError


def asks(text, *replies, **more):
    return {"text": text, "role": "prompter", "replies": list(replies), **more}


def says(text, *replies, **more):
    return {"text": text, "role": "assistant", "replies": list(replies), **more}


def said(prompt):
    messages = oasst_tree_map_fn({"message_tree_id": "x", "prompt": prompt})["messages"]
    return [message["content"] for message in messages]


def test_the_best_reply_is_followed_at_every_message():
    tree = asks(
        "Hi",
        says("no", rank=2),
        says("Hello!", asks("How?", says("worse", rank=1), says("Well.", rank=0)), rank=0),
        says("unranked"),
    )
    assert said(tree) == ["Hi", "Hello!", "How?", "Well."]


def test_without_ranks_the_first_reply_is_followed():
    assert said(asks("Hi", says("one", rank=None), says("two", rank=None))) == ["Hi", "one"]


def test_what_is_deleted_or_not_answered_is_left_out():
    tree = asks("Hi", says("gone", rank=0, deleted=True), says("Hello!", asks("Bye"), rank=1))
    assert said(tree) == ["Hi", "Hello!"]


@pytest.mark.parametrize(
    ("tree", "reason"),
    [
        (asks("Hi"), "no answer"),
        (asks("Hi", replies=None), "no answer"),
        (asks("", says("Hello!")), "empty request"),
        (asks("Hi", says(None)), "empty answer"),
    ],
)
def test_rows_with_nothing_to_learn_are_unusable(tree, reason):
    with pytest.raises(UnusableRow) as caught:
        said(tree)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"message_id": "x", "text": "Hi"}, "no field 'prompt'; fields seen: 'message_id', 'text'"),
        ({"prompt": "Hi"}, "message 1 of the tree must be an object with text and role"),
        ({"prompt": {"text": "Hi", "role": "user"}}, "the role 'user'; allowed: prompter, assi"),
        ({"prompt": asks("Hi", replies="x")}, "replies to message 1 of the tree must be a list"),
        ({"prompt": asks("Hi", "Hello!")}, "a reply to message 1 of the tree must be an object"),
    ],
)
def test_another_format_is_fatal(row, message):
    with pytest.raises(DataError, match=message) as caught:
        oasst_tree_map_fn(row)
    assert not isinstance(caught.value, UnusableRow)
