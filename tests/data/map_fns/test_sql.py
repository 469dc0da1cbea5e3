from tests.data.map_fns.pairs import asked_and_answered, check_what_cannot_be_used

ROW = {
    "context": "CREATE TABLE a (b INT)",
    "question": "How many?",
    "answer": "SELECT COUNT(*) FROM a",
}


def test_rows_become_a_request_and_its_answer():
    assert asked_and_answered("sql", ROW) == (
        "CREATE TABLE a (b INT)\nHow many?",
        "SELECT COUNT(*) FROM a",
    )
    other = {"context": "CREATE TABLE c (d INT)", "question": "All d?", "answer": "SELECT d FROM c"}
    assert asked_and_answered("sql", other) == ("CREATE TABLE c (d INT)\nAll d?", "SELECT d FROM c")


def test_what_cannot_be_used():
    check_what_cannot_be_used("sql", ROW, asked=("context", "question"), answer="answer")
