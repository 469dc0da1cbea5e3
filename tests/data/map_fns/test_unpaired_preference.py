import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.unpaired_preference import unpaired_preference_map_fn
from xtune.data.recognise import recognise
from xtune.errors import DataError

ASKED = [{"role": "user", "content": "2?"}]
SAID = [{"role": "assistant", "content": "Two."}]
ROW = {"prompt": ASKED, "completion": SAID, "label": True}


@pytest.mark.parametrize("label", [True, 1, "true", "True"])
def test_texts_and_messages_are_read_and_labels_in_every_form(label):
    assert unpaired_preference_map_fn({**ROW, "label": label}) == ROW
    texts = {"prompt": "2?", "completion": "Two.", "label": label}
    assert unpaired_preference_map_fn(texts) == ROW


def test_a_row_with_a_label_is_no_dialogue_to_train_on():
    assert recognise([("a:1", ROW)]).format.name == "unpaired_preference"
    without = {key: value for key, value in ROW.items() if key != "label"}
    assert recognise([("a:1", without)]).format.name == "prompt_completion"


def test_what_cannot_be_used():
    for nothing in ("", [], None):
        with pytest.raises(UnusableRow, match="empty answer"):
            unpaired_preference_map_fn({**ROW, "completion": nothing})
    with pytest.raises(DataError, match="'label' must be true or false, not str 'good'"):
        unpaired_preference_map_fn({**ROW, "label": "good"})
    with pytest.raises(DataError, match="'completion' must end with a message of the role"):
        unpaired_preference_map_fn({**ROW, "completion": ASKED})
