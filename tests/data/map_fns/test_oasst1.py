import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.oasst1 import oasst1_map_fn
from xtune.errors import DataError


def said(text):
    return [(m["role"], m["content"]) for m in oasst1_map_fn({"text": text})["messages"]]


def test_markers_begin_the_turns_also_in_the_middle_of_a_line():
    text = "### Human: Two and two?### Assistant: Four.\n### Human: Sure?\n### Assistant: Yes.\n"
    assert said(text) == [
        ("user", "Two and two?"),
        ("assistant", "Four."),
        ("user", "Sure?"),
        ("assistant", "Yes."),
    ]


def test_a_last_turn_that_nobody_answers_is_left_out():
    assert said("### Human: Hi### Assistant: Hello!### Human: Bye") == said(
        "### Human: Hi### Assistant: Hello!"
    )


def test_other_headings_are_text():
    assert said("### Human: Hi### Assistant: ### Title\ntext")[1] == (
        "assistant",
        "### Title\ntext",
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty text"),
        (None, "empty text"),
        ("### Human: Hi", "no answer"),
        ("### Human: Hi### Assistant:", "empty answer"),
        ("### Human: ### Assistant: Hello!", "empty request"),
    ],
)
def test_rows_with_nothing_to_learn_are_unusable(text, reason):
    with pytest.raises(UnusableRow) as caught:
        oasst1_map_fn({"text": text})
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"texts": "x"}, "no field 'text'; fields seen: 'texts'"),
        ({"text": "Once upon a time."}, "begins with no marker of the form .*Human.*str 'Once"),
    ],
)
def test_another_format_is_fatal(row, message):
    with pytest.raises(DataError, match=message) as caught:
        oasst1_map_fn(row)
    assert not isinstance(caught.value, UnusableRow)
