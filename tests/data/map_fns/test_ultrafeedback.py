import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.ultrafeedback import ultrafeedback_map_fn
from xtune.errors import DataError

ASPECTS = ("helpfulness", "honesty", "instruction_following", "truthfulness")


def completion(text, *ratings, overall=5.0):
    annotations = {name: {"Rating": rating} for name, rating in zip(ASPECTS, ratings, strict=True)}
    return {"model": text, "response": text, "annotations": annotations, "overall_score": overall}


def row(*completions):
    return {"source": "flan", "instruction": "2?", "models": [], "completions": [*completions]}


FOUR = row(
    completion("b", "3", "3", "3", "3", overall=10.0),  # the known fault: bad ones have a 10
    completion("a", "5", "5", "4", "5", overall=8.5),
    completion("c", "3", "2", "4", "3", overall=6.0),
    completion("d", "1", "1", "1", "1", overall=1.0),
)


def test_four_answers_are_ranked_by_the_mean_of_their_ratings():
    made = ultrafeedback_map_fn(FOUR)
    assert [answer[0]["content"] for answer in made["answers"]] == ["a", "b", "c", "d"]
    assert made["scores"] == [4.75, 3.0, 3.0, 1.0]
    assert made["ranks"] == [0, 1, 1, 2]  # equal means make no pair
    assert made["source"] == "flan"


def test_overall_score_is_another_ranking():
    made = ultrafeedback_map_fn(FOUR, by="overall_score")
    assert [answer[0]["content"] for answer in made["answers"]] == ["b", "a", "c", "d"]


def test_an_aspect_that_is_not_rated_for_one_is_left_out_for_all():
    made = ultrafeedback_map_fn(
        row(completion("a", "1", "5", "5", "5"), completion("b", "N/A", "4", "4", "4"))
    )
    assert [answer[0]["content"] for answer in made["answers"]] == ["a", "b"]
    assert made["scores"] == [5.0, 4.0]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (row(), "fewer than two answers"),
        (row(completion("a", "5", "5", "5", "5")), "fewer than two answers"),
        (row(*[completion(t, "5", "5", "5", "5") for t in "ab"]), "a tie: no answer is better"),
        (row(*[completion(t, *["N/A"] * 4) for t in "ab"]), "no rating that all answers have"),
    ],
)
def test_rows_without_a_pair_are_unusable(given, reason):
    with pytest.raises(UnusableRow, match=reason):
        ultrafeedback_map_fn(given)


def test_a_rating_that_is_no_number_is_told():
    with pytest.raises(DataError, match="a rating must be a number or 'N/A', not str 'good'"):
        ultrafeedback_map_fn(row(*[completion(t, "good", "5", "5", "5") for t in "ab"]))
