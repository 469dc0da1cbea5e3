import pytest

from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.toolbench import toolbench_map_fn
from xtune.errors import DataError

SAID = [
    {"from": "system", "value": "You can use: clock."},
    {"from": "user", "value": "Time in Rome?\nBegin!\n"},
    {"from": "assistant", "value": "\nThought: look\nAction: clock\nAction Input: {}"},
    {"from": "function", "value": '{"error": "", "response": "12:00"}'},
    {"from": "assistant", "value": '\nAction: Finish\nAction Input: {"final_answer": "Noon."}'},
]


def test_calls_stay_in_the_answers_text_and_results_are_shown():
    messages = toolbench_map_fn({"id": "Step 2: x", "conversations": SAID})["messages"]
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "tool", "assistant"]
    assert [m["content"] for m in messages] == [one["value"] for one in SAID]
    assert all("loss" not in m for m in messages)


def test_a_row_without_a_call_is_a_dialogue():
    said = [{"from": "user", "value": "Hi"}, {"from": "assistant", "value": "Hello!"}]
    assert len(toolbench_map_fn({"conversations": said})["messages"]) == 2


def test_a_row_that_ends_before_an_answer_is_unusable():
    with pytest.raises(UnusableRow, match="no answer"):
        toolbench_map_fn({"conversations": SAID[:2]})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"messages": SAID}, "no field 'conversations'; fields seen: 'messages'"),
        ({"conversations": {}}, "'conversations' must be a list, not dict"),
        ({"conversations": [{"from": "tool", "value": "x"}]}, "from 'tool'; allowed: .*function"),
    ],
)
def test_another_format_is_fatal(row, message):
    with pytest.raises(DataError, match=message):
        toolbench_map_fn(row)
