import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.intel_orca_dpo import intel_orca_dpo_map_fn
from xtune.errors import DataError

ROW = {"system": "Be brief.", "question": "Two?", "chosen": "2", "rejected": "Three."}


def test_a_row_becomes_a_pair():
    assert intel_orca_dpo_map_fn(ROW) == {
        "prompt": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Two?"},
        ],
        "chosen": [{"role": "assistant", "content": "2"}],
        "rejected": [{"role": "assistant", "content": "Three."}],
    }


@pytest.mark.parametrize("nothing", ["", None])
def test_without_a_system_text_the_question_is_the_prompt(nothing):
    prompt = intel_orca_dpo_map_fn({**ROW, "system": nothing})["prompt"]
    assert prompt == [{"role": "user", "content": "Two?"}]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"question": ""}, "empty request"),
        ({"chosen": None}, "empty answer"),
        ({"rejected": " "}, "empty answer"),
        ({"rejected": "2"}, "chosen and rejected are the same"),
    ],
)
def test_rows_with_nothing_to_learn_are_unusable(change, reason):
    with pytest.raises(UnusableRow) as caught:
        intel_orca_dpo_map_fn({**ROW, **change})
    assert caught.value.reason == reason


@pytest.mark.parametrize("missing", sorted(ROW))
def test_a_missing_field_is_fatal(missing):
    with pytest.raises(DataError, match=f"no field '{missing}'"):
        intel_orca_dpo_map_fn({key: value for key, value in ROW.items() if key != missing})
