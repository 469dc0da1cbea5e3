import pytest

from tests.data.map_fns.pairs import asked_and_answered, check_what_cannot_be_used
from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.coig import coig_map_fn
from xtune.errors import DataError

TURNS = [
    {"question": "鲸是鱼吗？", "answer": "不是。"},
    {"question": "为什么？", "answer": "用肺呼吸。"},
]
MESSAGES = [
    {"role": "user", "content": "鲸是鱼吗？"},
    {"role": "assistant", "content": "不是。"},
    {"role": "user", "content": "为什么？"},
    {"role": "assistant", "content": "用肺呼吸。"},
]
PLAIN = {"instruction": "翻译。", "input": "你好", "output": "Hello"}


@pytest.mark.parametrize("task", [{}, {"instruction": ""}, {"instruction": None}])
def test_turns_become_messages(task):
    assert coig_map_fn({**task, "conversations": TURNS})["messages"] == MESSAGES


def test_the_instruction_stands_before_the_first_question():
    messages = coig_map_fn({"instruction": "回答。", "conversations": TURNS})["messages"]
    assert [m["content"] for m in messages[:3]] == ["回答。\n鲸是鱼吗？", "不是。", "为什么？"]
    alone = [{"question": "", "answer": "好的。"}]
    messages = coig_map_fn({"instruction": "回答。", "conversations": alone})["messages"]
    assert messages[0]["content"] == "回答。"


def test_columns_of_turns_are_turns():
    columns = {"question": ["鲸是鱼吗？", "为什么？"], "answer": ["不是。", "用肺呼吸。"]}
    assert coig_map_fn({"conversations": columns})["messages"] == MESSAGES
    with pytest.raises(UnusableRow, match="empty answer"):
        coig_map_fn({"conversations": {**columns, "answer": ["不是。"]}})


def test_alpacas_fields_are_read():
    assert asked_and_answered("coig", PLAIN) == ("翻译。\n你好", "Hello")


def test_what_cannot_be_used():
    check_what_cannot_be_used("coig", PLAIN, asked=("instruction", "input"), answer="output")
    with pytest.raises(UnusableRow, match="no messages"):
        coig_map_fn({"conversations": []})


@pytest.mark.parametrize(
    ("turns", "message"),
    [
        ("你好", "'conversations' must be a list of turns, not str"),
        ({"question": "鲸是鱼吗？"}, "'conversations' must be a list of turns, not dict"),
        ([{"question": "鲸是鱼吗？"}], "turn 1 has no field 'answer'"),
    ],
)
def test_another_format_is_fatal(turns, message):
    with pytest.raises(DataError, match=message):
        coig_map_fn({"conversations": turns})
