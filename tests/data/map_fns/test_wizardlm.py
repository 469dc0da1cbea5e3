import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.wizardlm import wizardlm_map_fn
from xtune.errors import DataError

ASKED = {"from": "human", "value": "Two and two?"}
ANSWERED = {"from": "gpt", "value": "Four."}


def messages_of(*said):
    return wizardlm_map_fn({"idx": "x", "conversations": list(said)})["messages"]


def test_speakers_become_roles():
    assert messages_of(ASKED, ANSWERED, ASKED, ANSWERED) == 2 * [
        {"role": "user", "content": "Two and two?"},
        {"role": "assistant", "content": "Four."},
    ]


def test_requests_that_follow_each_other_become_one():
    made = messages_of(ASKED, {"from": "human", "value": "In Roman."}, ANSWERED)
    assert made[0] == {"role": "user", "content": "Two and two?\nIn Roman."}
    assert len(made) == 2


def test_an_answer_before_the_first_request_is_not_trained():
    assert [m.get("loss") for m in messages_of(ANSWERED, ASKED, ANSWERED)] == [False, None, None]


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ([], "no messages"),
        ([ASKED], "no answer"),
        ([ASKED, {"from": "gpt", "value": ""}], "empty answer"),
        ([{"from": "human", "value": None}, ASKED, ANSWERED], "empty request"),
    ],
)
def test_rows_with_nothing_to_learn_are_unusable(said, reason):
    with pytest.raises(UnusableRow) as caught:
        messages_of(*said)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"conversation": []}, "no field 'conversations'; fields seen: 'conversation'"),
        ({"conversations": "Hi"}, "'conversations' must be a list"),
        ({"conversations": [{"from": "humn", "value": "x"}]}, "did you mean 'human'"),
    ],
)
def test_another_format_is_fatal(row, message):
    with pytest.raises(DataError, match=message):
        wizardlm_map_fn(row)
