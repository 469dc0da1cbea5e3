from tests.data.map_fns.pairs import asked_and_answered, check_what_cannot_be_used

ROW = {"prompt": "Print 1.", "completion": "print(1)"}


def test_rows_become_a_request_and_its_answer():
    assert asked_and_answered("code_alpaca", ROW) == ("Print 1.", "print(1)")
    other = {"prompt": "Loop.", "completion": "for _ in x:\n    pass\n"}
    assert asked_and_answered("code_alpaca", other) == ("Loop.", "for _ in x:\n    pass\n")


def test_what_cannot_be_used():
    check_what_cannot_be_used("code_alpaca", ROW, asked=("prompt",), answer="completion")
