"""Text from a data set is parsed and never run."""

import pytest

from xtune.data.map_fns.literal import literal_list
from xtune.errors import DataError


@pytest.mark.parametrize(
    "text", ['[{"from": "user", "value": null}]', "  [{'from': 'user', 'value': None}]\n"]
)
def test_json_and_python_literals_are_lists(text):
    assert literal_list(text, name="x") == [{"from": "user", "value": None}]


def test_nothing_is_executed(tmp_path):
    trace = tmp_path / "ran"
    with pytest.raises(DataError, match="neither JSON nor a Python literal"):
        literal_list(f"[open({str(trace)!r}, 'w')]", name="conversations")
    assert not trace.exists()


@pytest.mark.parametrize(
    "text",
    [
        "[" * 5000 + "]" * 5000,
        "[" + "-" * 100_000 + "1]",
        "[" + "1+" * 100_000 + "1]",
        "['" + "x" * 2_000_000 + "']",
        "[\0]",
        "[1",
        "['\\ud800",
    ],
)
def test_text_made_to_exhaust_the_parser_is_an_error(text):
    with pytest.raises(DataError, match="'conversations' is text"):
        literal_list(text, name="conversations")


@pytest.mark.parametrize("value", [None, 5, {}, "{}", "5"])
def test_something_else_is_an_error(value):
    with pytest.raises(DataError, match="'conversations' must be a list, not"):
        literal_list(value, name="conversations")
