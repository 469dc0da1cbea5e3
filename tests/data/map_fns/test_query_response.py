import pytest

from tests.data.map_fns.pairs import asked_and_answered, check_what_cannot_be_used
from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.query_response import query_response_map_fn
from xtune.errors import DataError

ROW = {"query": "Two and two?", "response": "Four."}


def test_rows_become_a_request_and_its_answer():
    assert asked_and_answered("query_response", ROW) == ("Two and two?", "Four.")
    nothing = {"system": None, "history": None}
    assert asked_and_answered("query_response", ROW | nothing) == ("Two and two?", "Four.")


def test_a_history_and_a_system_text_come_before():
    row = ROW | {"system": "Be brief.", "history": '[["Hi", "Hello."]]'}
    assert query_response_map_fn(row)["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "Two and two?"},
        {"role": "assistant", "content": "Four."},
    ]


def test_what_cannot_be_used():
    check_what_cannot_be_used("query_response", ROW, asked=("query",), answer="response")
    with pytest.raises(DataError, match=r"'history' must hold \[request, answer\] pairs, not list"):
        query_response_map_fn(ROW | {"history": [["Hi"]]})
    with pytest.raises(UnusableRow, match="empty answer"):
        query_response_map_fn(ROW | {"history": [["Hi", ""]]})
