import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.ultrafeedback_binarized import ultrafeedback_binarized_map_fn

ASKED = {"role": "user", "content": "Two and two?"}
GOOD = {"role": "assistant", "content": "Four."}
BAD = {"role": "assistant", "content": "Five."}
ROW = {
    "prompt": "Two and two?",
    "prompt_id": "ab12",
    "chosen": [ASKED, GOOD],
    "rejected": [ASKED, BAD],
    "messages": [ASKED, GOOD],
    "score_chosen": 8.5,
    "score_rejected": 6.0,
}


def test_the_shared_turns_are_the_prompt_and_stand_there_once():
    made = ultrafeedback_binarized_map_fn(ROW)
    assert made == {"prompt": [ASKED], "chosen": [GOOD], "rejected": [BAD], "margin": 2.5}


@pytest.mark.parametrize(
    ("scores", "reason"),
    [
        ((7.0, 7.0), "a tie: no answer is better than another"),
        ((6.0, 7.0), "by its margin the rejected answer is the better one"),
    ],
)
def test_equal_scores_are_a_tie(scores, reason):
    with pytest.raises(UnusableRow) as caught:
        ultrafeedback_binarized_map_fn(
            ROW | dict(zip(("score_chosen", "score_rejected"), scores, strict=True))
        )
    assert caught.value.reason == reason
