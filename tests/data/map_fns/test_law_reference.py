from tests.data.map_fns.pairs import asked_and_answered, check_what_cannot_be_used

ROW = {"question": "怎么赔偿？", "answer": "依据条例。", "reference": ["第一条"]}


def test_rows_become_a_request_and_its_answer():
    assert asked_and_answered("law_reference", ROW) == ("怎么赔偿？", "依据条例。")
    other = {"question": "合同有效吗？", "answer": "有效。"}
    assert asked_and_answered("law_reference", other) == ("合同有效吗？", "有效。")


def test_what_cannot_be_used():
    check_what_cannot_be_used("law_reference", ROW, asked=("question",), answer="answer")
