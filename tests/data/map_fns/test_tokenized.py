import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.tokenized import tokenized_map_fn
from xtune.errors import DataError

IDS = [5, 6, 7, 0]


@pytest.mark.parametrize(
    ("more", "trained"),
    [
        ({"labels": [-100, 6, 7, -100]}, [False, True, True, False]),
        ({"label_mask": [False, True, True, False]}, [False, True, True, False]),
        ({"label_mask": [0, 1, 1, 0]}, [False, True, True, False]),
        ({"labels": None, "label_mask": None}, [True] * 4),
        ({}, [True] * 4),
    ],
)
def test_what_is_trained_is_read_from_labels_or_a_mask(more, trained):
    made = tokenized_map_fn({"input_ids": IDS, **more, "length": 4})
    assert made == {"input_ids": IDS, "trained": trained}


def test_padding_is_left_out():
    row = {"input_ids": [0, 5, 6, 0], "attention_mask": [0, 1, 1, 0]}
    assert tokenized_map_fn(row) == {"input_ids": [5, 6], "trained": [True, True]}


@pytest.mark.parametrize(
    "row",
    [
        {"input_ids": []},
        {"input_ids": [5]},  # nothing comes before it
        {"input_ids": IDS, "labels": [-100] * 4},
        {"input_ids": IDS, "label_mask": [True, False, False, False]},
        {"input_ids": IDS, "attention_mask": [0, 0, 0, 0]},
    ],
)
def test_rows_of_which_nothing_is_trained_are_unusable(row):
    with pytest.raises(UnusableRow, match="no token is trained"):
        tokenized_map_fn(row)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"ids": IDS}, "no field 'input_ids'; fields seen: 'ids'"),
        ({"input_ids": "5 6"}, "'input_ids' must be a list of integers, not str"),
        ({"input_ids": [5.0]}, "'input_ids' must be a list of integers"),
        ({"input_ids": IDS, "labels": [6, 7, 0, -100]}, "labels.0. is 6, but must be .*shifted"),
        ({"input_ids": IDS, "labels": [5]}, "'labels' has 1 entries, but 'input_ids' has 4"),
        ({"input_ids": IDS, "attention_mask": [1]}, "'attention_mask' has 1 entries"),
    ],
)
def test_another_format_is_fatal(row, message):
    with pytest.raises(DataError, match=message) as caught:
        tokenized_map_fn(row)
    assert not isinstance(caught.value, UnusableRow)
