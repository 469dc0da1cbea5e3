import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.helpsteer2 import helpsteer2_map_fn
from xtune.errors import DataError


def one(text, helpfulness, verbosity=2):
    return {
        "prompt": "Two and two?",
        "response": text,
        "helpfulness": helpfulness,
        "correctness": 4,
        "coherence": 4,
        "complexity": 1,
        "verbosity": verbosity,
    }


def row(*rows):
    return {"prompt": "Two and two?", "gathered": [*rows]}


def test_the_two_rows_of_a_prompt_are_a_pair_whose_margin_is_their_difference():
    made = helpsteer2_map_fn(row(one("Five.", 1), one("Four.", 4)))
    assert [answer[0]["content"] for answer in made["answers"]] == ["Four.", "Five."]
    assert (made["scores"], made["ranks"]) == ([4, 1], [0, 1])


def test_another_rating_may_decide():
    made = helpsteer2_map_fn(row(one("a", 4, 0), one("b", 1, 3)), by="verbosity")
    assert made["scores"] == [3, 0]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (row(one("a", 3), one("b", 3)), "a tie: no answer is better than another"),
        (row(one("a", 3)), "fewer than two answers"),
    ],
)
def test_rows_without_a_pair_are_unusable(given, reason):
    with pytest.raises(UnusableRow) as caught:
        helpsteer2_map_fn(given)
    assert caught.value.reason == reason


def test_rows_that_are_not_gathered_name_the_source_that_does_it():
    with pytest.raises(DataError, match=r"data_path=dict\(type='gathered', path=…, by='pro"):
        helpsteer2_map_fn(one("a", 3))
