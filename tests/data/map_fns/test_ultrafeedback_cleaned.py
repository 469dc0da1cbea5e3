import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.ultrafeedback_cleaned import ultrafeedback_cleaned_map_fn

ASKED = {"role": "user", "content": "Two and two?"}
GOOD = {"role": "assistant", "content": "Four."}
BAD = {"role": "assistant", "content": "Five."}
ROW = {
    "source": "sharegpt",
    "prompt": "Two and two?",
    "chosen": [ASKED, GOOD],
    "chosen-rating": 5.0,
    "chosen-model": "gpt-4",
    "rejected": [ASKED, BAD],
    "rejected-rating": 3.75,
    "rejected-model": "alpaca-7b",
}


def test_margin_and_source_stay_with_the_pair():
    made = ultrafeedback_cleaned_map_fn(ROW)
    assert made["prompt"] == [ASKED]
    assert (made["margin"], made["source"]) == (1.25, "sharegpt")


def test_equal_ratings_are_a_tie():
    with pytest.raises(UnusableRow, match="a tie"):
        ultrafeedback_cleaned_map_fn({**ROW, "rejected-rating": 5.0})
