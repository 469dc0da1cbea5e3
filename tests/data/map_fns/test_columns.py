import functools

import pytest

from tests.data.map_fns.pairs import asked_and_answered, check_what_cannot_be_used
from xtune.data.map_fns import build_map_fn
from xtune.data.map_fns.columns import columns_map_fn
from xtune.errors import DataError

ROW = {"question": "Two and two?", "answer": "Four."}


def test_rows_become_a_request_and_its_answer():
    assert asked_and_answered("columns", ROW) == ("Two and two?", "Four.")


def test_the_columns_are_those_that_the_config_names():
    named = {"type": "columns", "asked": ["Title", "Body"], "answer": "Reply", "system": "Who"}
    row = {"Title": "Rome", "Body": "When?", "Reply": "Not in a day.", "Who": "Be brief."}
    assert build_map_fn(named)(row)["messages"] == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Rome\nWhen?"},
        {"role": "assistant", "content": "Not in a day."},
    ]
    with pytest.raises(DataError, match="no field 'Body'; fields seen: 'Title', 'Reply', 'Who'"):
        build_map_fn(named)({key: row[key] for key in ("Title", "Reply", "Who")})
    assert isinstance(build_map_fn(named), functools.partial)
    assert build_map_fn("columns") is columns_map_fn


def test_what_cannot_be_used():
    check_what_cannot_be_used("columns", ROW, asked=("question",), answer="answer")
