import pytest

from tests.data.map_fns.test_preference import PAIR
from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.prompt_reject_response import prompt_reject_response_map_fn
from xtune.errors import DataError

ROW = {"prompt": "Two and two?", "reject": "Five.", "response": "Four."}


def test_the_response_is_the_better_answer():
    assert prompt_reject_response_map_fn(ROW) == PAIR
    other = prompt_reject_response_map_fn({"prompt": "a", "reject": "b", "response": "c", "id": 1})
    assert [other[key][0]["content"] for key in ("prompt", "chosen", "rejected")] == ["a", "c", "b"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"prompt": None}, "empty request"),
        ({"reject": ""}, "empty answer"),
        ({"response": " "}, "empty answer"),
        ({"response": "Five."}, "chosen and rejected are the same"),
    ],
)
def test_rows_with_nothing_to_learn_are_unusable(change, reason):
    with pytest.raises(UnusableRow) as caught:
        prompt_reject_response_map_fn({**ROW, **change})
    assert caught.value.reason == reason


@pytest.mark.parametrize("missing", sorted(ROW))
def test_a_missing_field_is_fatal(missing):
    with pytest.raises(DataError, match=f"no field '{missing}'"):
        prompt_reject_response_map_fn({key: value for key, value in ROW.items() if key != missing})
