import pytest

from tests.data.map_fns.test_preference import PAIR
from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.colossalchat_preference import colossalchat_preference_map_fn
from xtune.errors import DataError

GOOD, BAD = ({"from": "assistant", "content": text} for text in ("Four.", "Five."))


def row_of(speaker="human", **change):
    context = [{"from": speaker, "content": "Two and two?"}]
    return {"context": context, "chosen": [GOOD], "rejected": [BAD], **change}


@pytest.mark.parametrize("speaker", ["user", "human"])
def test_a_row_becomes_a_pair(speaker):
    assert colossalchat_preference_map_fn(row_of(speaker)) == PAIR
    assert colossalchat_preference_map_fn(row_of(speaker, chosen=GOOD, rejected=BAD)) == PAIR


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"context": []}, "empty request"),
        ({"chosen": []}, "empty answer"),
        ({"rejected": [GOOD]}, "chosen and rejected are the same"),
    ],
)
def test_rows_with_nothing_to_learn_are_unusable(change, reason):
    with pytest.raises(UnusableRow) as caught:
        colossalchat_preference_map_fn(row_of(**change))
    assert caught.value.reason == reason


@pytest.mark.parametrize("missing", ["context", "chosen", "rejected"])
def test_a_missing_field_is_fatal(missing):
    row = row_of()
    del row[missing]
    with pytest.raises(DataError, match=f"no field '{missing}'"):
        colossalchat_preference_map_fn(row)
