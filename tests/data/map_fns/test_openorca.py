from tests.data.map_fns.pairs import asked_and_answered, check_what_cannot_be_used
from xtune.data.map_fns.openorca import openorca_map_fn

ROW = {"system_prompt": "", "question": "Two?", "response": "2", "id": "niv.1"}


def test_rows_become_a_request_and_its_answer():
    assert asked_and_answered("openorca", ROW) == ("Two?", "2")
    other = {"system_prompt": None, "question": "Three?", "response": "3"}
    assert asked_and_answered("openorca", other) == ("Three?", "3")


def test_what_cannot_be_used():
    check_what_cannot_be_used("openorca", ROW, asked=("question",), answer="response")


def test_the_rows_own_system_text_comes_first():
    messages = openorca_map_fn({**ROW, "system_prompt": "Be brief."})["messages"]
    assert messages[0] == {"role": "system", "content": "Be brief."}
    assert len(messages) == 3
