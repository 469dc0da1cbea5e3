from tests.data.map_fns.pairs import asked_and_answered, check_what_cannot_be_used

ROW = {"query": "What is 2 + 2?", "response": "2 + 2 = 4.\nThe answer is: 4"}


def test_rows_become_a_request_and_its_answer():
    assert asked_and_answered("metamath", ROW) == ("What is 2 + 2?", ROW["response"])
    other = {"query": "x?", "response": "1", "type": "GSM_Rephrased"}
    assert asked_and_answered("metamath", other) == ("x?", "1")


def test_what_cannot_be_used():
    check_what_cannot_be_used("metamath", ROW, asked=("query",), answer="response")
