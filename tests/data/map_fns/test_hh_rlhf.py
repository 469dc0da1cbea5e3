import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.hh_rlhf import hh_rlhf_map_fn
from xtune.errors import DataError

HEAD = "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Two and two?"
ROW = {"chosen": f"{HEAD}\n\nAssistant: Four.", "rejected": f"{HEAD}\n\nAssistant: Five."}


def test_what_both_texts_begin_with_is_the_prompt():
    assert hh_rlhf_map_fn(ROW) == {
        "prompt": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Hello!"},
            {"role": "user", "content": "Two and two?"},
        ],
        "chosen": [{"role": "assistant", "content": "Four."}],
        "rejected": [{"role": "assistant", "content": "Five."}],
    }


def test_a_marker_that_is_quoted_inside_a_line_or_paragraph_is_text():
    said = "Write it so:\nHuman: x\nand Assistant: y"
    made = hh_rlhf_map_fn(
        {**ROW, "chosen": f"\n\nHuman: {said}\n\nAssistant: z"}
        | {"rejected": f"\n\nHuman: {said}\n\nAssistant: no"}
    )
    assert made["prompt"] == [{"role": "user", "content": said}]


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        ("", "empty text"),
        (ROW["rejected"], "chosen and rejected are the same"),
        (HEAD, "the text ends with a request"),
        (f"{HEAD}\n\nAssistant: ", "empty answer"),
    ],
)
def test_rows_with_nothing_to_learn_are_unusable(chosen, reason):
    with pytest.raises(UnusableRow) as caught:
        hh_rlhf_map_fn({**ROW, "chosen": chosen})
    assert caught.value.reason == reason


def test_a_marker_that_is_cut_off_begins_a_turn_as_well():
    head = HEAD.replace("Human: Two", "Hum: Two")
    row = {"chosen": f"{head}\n\nAssistant: Four.", "rejected": f"{head}\n\nAssistant: Five."}
    assert hh_rlhf_map_fn(row) == hh_rlhf_map_fn(ROW)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"transcript": HEAD, "rating": 2}, "of red-team-attempts, dialogues without pairs"),
        ({"chosen": ROW["chosen"]}, "no field 'rejected'"),
        ({**ROW, "chosen": "Four."}, "begins with no marker"),
        ({**ROW, "chosen": [HEAD]}, "'chosen' of the row must be text, not list"),
    ],
)
def test_another_format_is_fatal(row, message):
    with pytest.raises(DataError, match=message) as caught:
        hh_rlhf_map_fn(row)
    assert not isinstance(caught.value, UnusableRow)
