import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.helpsteer2_preference import helpsteer2_preference_map_fn
from xtune.errors import DataError

ROW = {"prompt": "2?", "response_1": "Two.", "response_2": "Three.", "preference_strength": -3}


@pytest.mark.parametrize(("strength", "chosen"), [(-3, "Two."), (-1, "Two."), (2, "Three.")])
def test_a_negative_strength_says_that_the_first_is_better(strength, chosen):
    made = helpsteer2_preference_map_fn({**ROW, "preference_strength": strength})
    assert made["chosen"][0]["content"] == chosen
    assert made["margin"] == abs(strength)


def test_nought_is_a_tie():
    with pytest.raises(UnusableRow, match="a tie"):
        helpsteer2_preference_map_fn({**ROW, "preference_strength": 0})


def test_a_prompt_of_several_turns_has_marks():
    prompt = "c#\n<extra_id_1>Assistant\nA language.\n\nBy M.\n<extra_id_1>User\nAnd c++?"
    assert helpsteer2_preference_map_fn({**ROW, "prompt": prompt})["prompt"] == [
        {"role": "user", "content": "c#"},
        {"role": "assistant", "content": "A language.\n\nBy M."},
        {"role": "user", "content": "And c++?"},
    ]
    with pytest.raises(DataError, match="names 'Teacher'; allowed: User, Assistant"):
        helpsteer2_preference_map_fn({**ROW, "prompt": "a\n<extra_id_1>Teacher\nb"})
