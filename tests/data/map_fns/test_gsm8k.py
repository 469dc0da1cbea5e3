from tests.data.map_fns.pairs import asked_and_answered, check_what_cannot_be_used

ROW = {"question": "Two and two?", "answer": "2 + 2 = <<2+2=4>>4\n#### 4"}


def test_rows_become_a_request_and_its_answer():
    assert asked_and_answered("gsm8k", ROW) == ("Two and two?", "2 + 2 = <<2+2=4>>4\n#### 4")
    other = {"question": "Three?", "answer": "#### 3"}
    assert asked_and_answered("gsm8k", other) == ("Three?", "#### 3")


def test_what_cannot_be_used():
    check_what_cannot_be_used("gsm8k", ROW, asked=("question",), answer="answer")
