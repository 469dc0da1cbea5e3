from tests.data.map_fns.pairs import asked_and_answered, check_what_cannot_be_used

ROW = {"question": "How do I exit vim?", "response": "Type :q", "qid": 5}


def test_rows_become_a_request_and_its_answer():
    assert asked_and_answered("stack_exchange", ROW) == ("How do I exit vim?", "Type :q")
    other = {"question": "<p>Why?</p>", "response": "Because."}
    assert asked_and_answered("stack_exchange", other) == ("<p>Why?</p>", "Because.")


def test_what_cannot_be_used():
    check_what_cannot_be_used("stack_exchange", ROW, asked=("question",), answer="response")
