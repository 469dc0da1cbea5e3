from tests.data.map_fns.pairs import asked_and_answered, check_what_cannot_be_used

ROW = {"input": "Hi", "output": "Hello!"}


def test_rows_become_a_request_and_its_answer():
    assert asked_and_answered("default", ROW) == ("Hi", "Hello!")
    other = {"input": " Two?", "output": "2\n", "id": 1}
    assert asked_and_answered("default", other) == (" Two?", "2\n")


def test_what_cannot_be_used():
    check_what_cannot_be_used("default", ROW, asked=("input",), answer="output")
