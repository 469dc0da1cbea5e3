from tests.data.map_fns.pairs import asked_and_answered, check_what_cannot_be_used
from xtune.data.map_fns.prompt_output import prompt_output_map_fn

ROW = {"prompt": "Two and two?", "output": "Four."}


def test_rows_become_a_request_and_its_answer():
    assert asked_and_answered("prompt_output", ROW) == ("Two and two?", "Four.")
    assert asked_and_answered("prompt_output", {"prompt": " a", "output": "b\n"}) == (" a", "b\n")


def test_training_on_the_prompt_is_a_switch():
    assert "train_on_inputs" not in prompt_output_map_fn(ROW)
    assert prompt_output_map_fn(ROW, train_on_inputs=True) == {
        **prompt_output_map_fn(ROW),
        "train_on_inputs": True,
    }


def test_what_cannot_be_used():
    check_what_cannot_be_used("prompt_output", ROW, asked=("prompt",), answer="output")
