import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.preference import preference_map_fn
from xtune.errors import DataError

ASKED = {"role": "user", "content": "Two and two?"}
GOOD = {"role": "assistant", "content": "Four."}
BAD = {"role": "assistant", "content": "Five."}
PAIR = {"prompt": [ASKED], "chosen": [GOOD], "rejected": [BAD]}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": "Two and two?", "chosen": "Four.", "rejected": "Five."},
        {"prompt": [ASKED], "chosen": [GOOD], "rejected": [BAD]},
        {"prompt": "Two and two?", "chosen": [GOOD], "rejected": "Five."},
        {"chosen": [ASKED, GOOD], "rejected": [ASKED, BAD]},
        {"prompt": "ignored", "chosen": [ASKED, GOOD], "rejected": [ASKED, BAD], "score": 1},
    ],
)
def test_texts_messages_and_whole_dialogues_give_the_same_pair(row):
    assert preference_map_fn(row) == PAIR


def test_dialogues_may_part_before_their_last_answer():
    more = [{"role": "user", "content": "Sure?"}, {"role": "assistant", "content": "Yes."}]
    made = preference_map_fn({"chosen": [ASKED, GOOD, *more], "rejected": [ASKED, BAD]})
    assert made == {"prompt": [ASKED], "chosen": [GOOD, *more], "rejected": [BAD]}


def test_an_empty_system_message_is_no_part_of_the_prompt():
    empty = {"role": "system", "content": ""}
    row = {"chosen": [empty, ASKED, GOOD], "rejected": [empty, ASKED, BAD]}
    assert preference_map_fn(row) == PAIR


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({**PAIR, "rejected": "Four."}, "chosen and rejected are the same"),
        ({"chosen": [ASKED, GOOD], "rejected": [ASKED, GOOD]}, "chosen and rejected are the same"),
        ({**PAIR, "chosen": ""}, "empty answer"),
        ({**PAIR, "chosen": []}, "empty answer"),
        ({**PAIR, "rejected": None}, "empty answer"),
        ({**PAIR, "prompt": " "}, "empty request"),
        ({**PAIR, "prompt": []}, "empty request"),
        ({"chosen": [ASKED, GOOD], "rejected": [{**ASKED, "content": "x"}, BAD]}, "empty request"),
    ],
)
def test_rows_with_nothing_to_learn_are_unusable(row, reason):
    with pytest.raises(UnusableRow) as caught:
        preference_map_fn(row)
    assert caught.value.reason == reason


@pytest.mark.parametrize("missing", ["prompt", "chosen", "rejected"])
def test_a_missing_field_is_fatal(missing):
    row = {key: value for key, value in PAIR.items() if key != missing}
    with pytest.raises(DataError, match=f"no field '{missing}'; fields seen") as caught:
        preference_map_fn(row)
    assert not isinstance(caught.value, UnusableRow)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"chosen": 5}, "'chosen' must be a text or messages, not int 5"),
        ({"chosen": [ASKED]}, "'chosen' must end with a message of the role assistant"),
        ({"prompt": [{"role": "usr", "content": "x"}]}, "did you mean 'user'"),
    ],
)
def test_another_format_is_fatal(change, message):
    with pytest.raises(DataError, match=message):
        preference_map_fn({**PAIR, **change})
