from tests.data.map_fns.pairs import asked_and_answered, check_what_cannot_be_used

ROW = {"description": "Pure Black: no light: none.", "color": "#000000"}


def test_rows_become_a_request_and_its_answer():
    assert asked_and_answered("colors", ROW) == ("no light: none.", "#000000")
    other = {"description": "as red as blood", "color": "#ff0000"}
    assert asked_and_answered("colors", other) == ("as red as blood", "#ff0000")


def test_what_cannot_be_used():
    check_what_cannot_be_used("colors", ROW, asked=("description",), answer="color")
