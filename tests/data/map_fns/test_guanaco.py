import pytest

from tests.data.map_fns.pairs import asked_and_answered, check_what_cannot_be_used
from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.guanaco import guanaco_map_fn

PLAIN = {"instruction": "Translate.", "input": "chien", "output": "dog"}
CHAT = {
    "instruction": "User: Hi\nAssistant: Hello!\nHow are you?",
    "input": "System: It is noon.\nUser: What time is it?",
    "output": "Noon.",
}


def test_the_dialogue_so_far_is_shown_and_only_the_output_trained():
    assert guanaco_map_fn(CHAT)["messages"] == [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello!\nHow are you?", "loss": False},
        {"role": "system", "content": "It is noon."},
        {"role": "user", "content": "What time is it?"},
        {"role": "assistant", "content": "Noon."},
    ]


def test_an_input_without_a_marker_is_the_request():
    messages = guanaco_map_fn({**CHAT, "input": "Bye"})["messages"]
    assert messages[2:] == [
        {"role": "user", "content": "Bye"},
        {"role": "assistant", "content": "Noon."},
    ]


def test_a_row_without_a_dialogue_is_alpacas():
    assert asked_and_answered("guanaco", PLAIN) == ("Translate.\nchien", "dog")
    talk = {**PLAIN, "instruction": "Correct this.\nUser: I is"}
    assert asked_and_answered("guanaco", talk)[0] == "Correct this.\nUser: I is\nchien"


def test_what_cannot_be_used():
    check_what_cannot_be_used("guanaco", PLAIN, asked=("instruction", "input"), answer="output")
    with pytest.raises(UnusableRow, match="empty answer"):
        guanaco_map_fn({**CHAT, "output": " "})
