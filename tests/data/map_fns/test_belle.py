import pytest

from tests.data.map_fns.pairs import asked_and_answered, check_what_cannot_be_used
from xtune.data.map_fns import UnusableRow
from xtune.data.map_fns.belle import belle_map_fn

PLAIN = {"instruction": "翻译。", "input": "你好", "output": "Hello"}
CHAT = {
    "instruction": "Human:你好\nAssistant:\n你好！\nHuman：再见\nAssistant:",
    "input": "",
    "output": "再见！",
}


def test_a_dialogue_in_the_instruction_becomes_turns_that_are_all_trained():
    assert belle_map_fn(CHAT)["messages"] == [
        {"role": "user", "content": "你好"},
        {"role": "assistant", "content": "你好！"},
        {"role": "user", "content": "再见"},
        {"role": "assistant", "content": "再见！"},
    ]


def test_a_single_turn_is_alpacas():
    assert asked_and_answered("belle", PLAIN) == ("翻译。\n你好", "Hello")


def test_no_input_is_lost_beside_a_dialogue():
    assert "1 + 1" in belle_map_fn({**CHAT, "input": "1 + 1"})["messages"][0]["content"]


def test_conversations_are_sharegpts():
    said = [{"from": "human", "value": "你好"}, {"from": "assistant", "value": "你好！"}]
    assert [m["role"] for m in belle_map_fn({"id": "1", "conversations": said})["messages"]] == [
        "user",
        "assistant",
    ]


def test_what_cannot_be_used():
    check_what_cannot_be_used("belle", PLAIN, asked=("instruction", "input"), answer="output")
    with pytest.raises(UnusableRow, match="empty answer"):
        belle_map_fn({**CHAT, "output": ""})
    with pytest.raises(UnusableRow, match="empty request"):
        belle_map_fn({**CHAT, "instruction": "Human:\nAssistant:"})
