import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.rm_static import rm_static_map_fn
from xtune.data.recognise import recognise

HEAD = "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Two and two?\n\nAssistant:"
ROW = {"prompt": HEAD, "response": " Four.", "chosen": " Four.", "rejected": " Five."}
PAIR = {
    "prompt": [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "Two and two?"},
    ],
    "chosen": [{"role": "assistant", "content": "Four."}],
    "rejected": [{"role": "assistant", "content": "Five."}],
}


def test_marks_begin_the_turns_of_the_prompt():
    assert rm_static_map_fn(ROW) == PAIR
    without = {key: value for key, value in ROW.items() if key != "response"}
    assert rm_static_map_fn(without) == PAIR  # yitingxie/rlhf-reward-datasets


def test_answers_that_hold_the_prompt_lose_it():
    row = {**ROW, "chosen": f"{HEAD} Four.", "rejected": f"{HEAD} Five."}
    assert rm_static_map_fn(row) == {**PAIR, "form": "chosen and rejected hold the prompt"}


def test_an_empty_answer_is_counted():
    with pytest.raises(UnusableRow, match="empty answer"):
        rm_static_map_fn({**ROW, "rejected": " "})


@pytest.mark.parametrize("fields", [ROW, ("prompt", "chosen", "rejected")])
def test_marks_tell_it_from_texts_without_them(fields):
    row = {key: ROW[key] for key in fields}
    assert recognise([("a:1", row)]).format.name == "rm_static"
    plain = {**row, "prompt": "Two and two?"}
    assert recognise([("a:1", plain)]).format.name == "preference"
