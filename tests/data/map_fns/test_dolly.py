from tests.data.map_fns.pairs import asked_and_answered, check_what_cannot_be_used

ROW = {
    "instruction": "Who won?",
    "context": "Ann beat Bob.",
    "response": "Ann.",
    "category": "closed_qa",
}


def test_rows_become_a_request_and_its_answer():
    assert asked_and_answered("dolly", ROW) == ("Who won?\nAnn beat Bob.", "Ann.")
    other = {"instruction": "Sing.", "context": "", "response": "La."}
    assert asked_and_answered("dolly", other) == ("Sing.", "La.")


def test_what_cannot_be_used():
    check_what_cannot_be_used("dolly", ROW, asked=("instruction", "context"), answer="response")
