from tests.data.map_fns.pairs import asked_and_answered, check_what_cannot_be_used

ROW = {"input": "酒驾会怎样？", "output": "吊销驾照。"}


def test_rows_become_a_request_and_its_answer():
    assert asked_and_answered("crime_kg_assitant", ROW) == ("酒驾会怎样？", "吊销驾照。")
    other = {"input": "偷窃呢？", "output": "依法处罚。"}
    assert asked_and_answered("crime_kg_assitant", other) == ("偷窃呢？", "依法处罚。")


def test_what_cannot_be_used():
    check_what_cannot_be_used("crime_kg_assitant", ROW, asked=("input",), answer="output")
