import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.shp import shp_map_fn

ROW = {
    "post_id": "x1",
    "domain": "askscience_test",
    "history": "Why?",
    "human_ref_A": "So.",
    "human_ref_B": "Because.",
    "labels": 1,
    "score_A": 12,
    "score_B": 4,
    "score_ratio": 3.0,
    "seconds_difference": 10.0,
}


@pytest.mark.parametrize(("label", "chosen"), [(1, "So."), (0, "Because.")])
def test_label_one_says_that_a_is_better(label, chosen):
    made = shp_map_fn({**ROW, "labels": label})
    assert made["chosen"] == [{"role": "assistant", "content": chosen}]
    assert made["source"] == "askscience_test"


@pytest.mark.parametrize(
    ("change", "switches", "reason"),
    [
        ({"score_ratio": 1.9}, {}, "a score ratio below 2"),
        ({"score_ratio": 2.9}, {"ratio": 3}, "a score ratio below 3"),
        ({"pair_of_post": 5}, {}, "more than 5 pairs of a post"),
        ({"pair_of_post": 1}, {"most": 1}, "more than 1 pairs of a post"),
        ({"history": " "}, {}, "empty request"),
    ],
)
def test_what_tells_little_is_counted_by_reason(change, switches, reason):
    with pytest.raises(UnusableRow) as caught:
        shp_map_fn({**ROW, **change}, **switches)
    assert caught.value.reason == reason


def test_the_fifth_pair_of_a_post_is_used():
    assert shp_map_fn({**ROW, "pair_of_post": 4}) == shp_map_fn(ROW)
