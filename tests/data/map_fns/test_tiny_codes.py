from tests.data.map_fns.pairs import asked_and_answered, check_what_cannot_be_used

ROW = {"prompt": "Say hello.", "response": "print('hello')", "programming_language": "Lua"}


def test_rows_become_a_request_and_its_answer():
    assert asked_and_answered("tiny_codes", ROW) == ("Say hello.", "print('hello')")
    other = {"prompt": "Sum.", "response": "a + b"}
    assert asked_and_answered("tiny_codes", other) == ("Sum.", "a + b")


def test_what_cannot_be_used():
    check_what_cannot_be_used("tiny_codes", ROW, asked=("prompt",), answer="response")
