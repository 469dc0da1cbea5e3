import pytest

from tests.data.map_fns.pairs import asked_and_answered, check_what_cannot_be_used
from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.firefly import firefly_map_fn
from xtune.errors import DataError

ROW = {"kind": "NLI", "input": "今天下雨了。", "target": "蕴含"}
TURN = {"human": "你好", "assistant": "你好！"}


def test_rows_become_a_request_and_its_answer():
    assert asked_and_answered("firefly", ROW) == ("今天下雨了。", "蕴含")


def test_turns_become_messages():
    row = {"conversation_id": 1, "category": "Writing", "conversation": [TURN, TURN]}
    assert firefly_map_fn(row)["messages"] == 2 * [
        {"role": "user", "content": "你好"},
        {"role": "assistant", "content": "你好！"},
    ]


def test_what_cannot_be_used():
    check_what_cannot_be_used("firefly", ROW, asked=("input",), answer="target")
    with pytest.raises(UnusableRow, match="no messages"):
        firefly_map_fn({"conversation": []})
    with pytest.raises(UnusableRow, match="empty answer"):
        firefly_map_fn({"conversation": [{**TURN, "assistant": None}]})


@pytest.mark.parametrize(
    ("conversation", "message"),
    [
        ("你好", "'conversation' must be a list of turns, not str"),
        (["你好"], "turn 1 must be an object with human and assistant, not str"),
        ([TURN, {"human": "你好"}], "turn 2 has no field 'assistant'"),
    ],
)
def test_another_format_is_fatal(conversation, message):
    with pytest.raises(DataError, match=message):
        firefly_map_fn({"conversation": conversation})
