"""What every format of one request and one answer is tested for."""

import pytest

from xtune.data.map_fns import UnusableRow
from xtune.errors import DataError
from xtune.registry import MAP_FNS, resolve


def asked_and_answered(name, row):
    """The request and the answer of a row that gives one turn and no system text."""
    messages = resolve(MAP_FNS, name)(row)["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"]
    return tuple(message["content"] for message in messages)


def check_what_cannot_be_used(name, row, *, asked, answer):
    """A row without an answer or a request is unusable; one without a field is fatal."""
    map_fn = resolve(MAP_FNS, name)
    for nothing in ("", None, " \n"):
        with pytest.raises(UnusableRow) as caught:
            map_fn({**row, answer: nothing})
        assert caught.value.reason == "empty answer"
        with pytest.raises(UnusableRow) as caught:
            map_fn({**row, **dict.fromkeys(asked, nothing)})
        assert caught.value.reason == "empty request"
    for field in (*asked, answer):
        with pytest.raises(DataError, match=f"no field '{field}'.*fields seen") as caught:
            map_fn({key: value for key, value in row.items() if key != field} | {"id": 7})
        assert not isinstance(caught.value, UnusableRow)
        with pytest.raises(DataError, match=f"field '{field}' of the row must be text, not int 5"):
            map_fn({**row, field: 5})
