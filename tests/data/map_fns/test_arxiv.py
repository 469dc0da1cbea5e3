from tests.data.map_fns.pairs import asked_and_answered, check_what_cannot_be_used

ROW = {"abstract": "We show it.", "title": "Shown", "authors": "A. B."}


def test_rows_become_a_request_and_its_answer():
    assert asked_and_answered("arxiv", ROW) == ("We show it.", "Shown")
    other = {"abstract": "  Two\nlines.", "title": "Lines"}
    assert asked_and_answered("arxiv", other) == ("  Two\nlines.", "Lines")


def test_what_cannot_be_used():
    check_what_cannot_be_used("arxiv", ROW, asked=("abstract",), answer="title")
