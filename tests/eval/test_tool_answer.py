"""What an answer calls, in each form that models write, and how tools are told."""

from __future__ import annotations

import pytest
from transformers import AutoTokenizer

from tests.tiny import CHATML, write_tiny_tokenizer
from xtune.data.tool_calls import Call
from xtune.eval.tool_answer import ToolTalk
from xtune.eval.tool_formats import ToolCase
from xtune.eval.tool_formats.case import as_function

TOOLS = [as_function({"name": "add", "parameters": {"properties": {"a": {}, "b": {}}}})]
CASE = ToolCase([{"role": "user", "content": "2 and 3?"}], TOOLS, (), "all")
ADD = Call("add", {"a": 2, "b": 3})
HERMES = (
    "{% if tools %}<|im_start|>system\nTools: {{ tools | tojson }}<|im_end|>\n{% endif %}"
    + CHATML.replace(
        "message['content'] +",
        "(message['content'] or '') + (('<tool_call>\n' + (message['tool_calls'][0]['function'] "
        "| tojson) + '\n</tool_call>') if message['tool_calls'] else '') +",
    )
)


@pytest.fixture
def tokenizer(tmp_path):
    return AutoTokenizer.from_pretrained(write_tiny_tokenizer(tmp_path))


def test_without_a_place_for_tools_the_system_prompt_tells_them(tokenizer):
    talk = ToolTalk(tokenizer)
    assert not talk.native
    assert "no place for tools" in talk.notice
    text = tokenizer.decode(talk.prompt(CASE))
    assert text.startswith("<|im_start|>system\nYou can use these tools:\n{")
    assert '"name": "add"' in text
    tokenizer.chat_template = CHATML.replace(
        "{{ '<|im",
        "{% if message['role'] == 'system' %}{{ raise_exception('none') }}{% endif %}{{ '<|im",
        1,
    )
    text = tokenizer.decode(ToolTalk(tokenizer).prompt(CASE))
    assert text.startswith("<|im_start|>user\nYou can use these tools:")


def test_the_template_tells_them(tokenizer):
    tokenizer.chat_template = HERMES
    talk = ToolTalk(tokenizer)
    assert (talk.native, talk.notice) == (True, "")
    assert "Tools: [{" in tokenizer.decode(talk.prompt(CASE))
    call = '<tool_call>\n{"name": "add", "arguments": {"a": 2, "b": 3}}\n</tool_call>'
    assert talk.read(CASE, call, call + call + "<|im_end|>") == ([ADD, ADD], "")
    assert talk.read(CASE, "", "<tool_call>\n{oops")[0] == []
    assert "no JSON" in talk.read(CASE, "", "<tool_call>\n{oops").malformed


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ('{"name": "add", "arguments": {"a": 2, "b": 3}}', [ADD]),
        ('[{"name": "add", "parameters": {"a": 2, "b": 3}}, {"name": "f", "arguments": {}}]',
         [ADD, Call("f", {})]),
        ('```json\n{"name": "f", "arguments": "{}"}\n```\n{"name": "f", "arguments": {}}',
         [Call("f", {})] * 2),
        ('{"type": "function", "function": {"name": "f", "arguments": {}}}', [Call("f", {})]),
        ("add(2, b=3)", [ADD]),
        ("add(a=add(2, 3), b=1)", [Call("add", {"a": ADD, "b": 1})]),
        ("Five. {1, 2}", []),
        ("print(5)", []),
    ],
)  # fmt: skip
def test_calls_in_plain_text(tokenizer, text, calls):
    assert ToolTalk(tokenizer).read(CASE, text, text) == (calls, "")


def test_a_call_that_is_begun_and_not_written(tokenizer):
    assert ToolTalk(tokenizer).read(CASE, '{"name": "add", "arg', "").malformed


def test_toolbenchs_actions(tokenizer):
    case = ToolCase(CASE.messages, [], (), "action", first_only=True)
    text = 'Thought: I add.\nAction: add\nAction Input: {"a": 2, "b": 3}'
    talk = ToolTalk(tokenizer)
    assert talk.read(case, text, text) == ([ADD], "")
    assert talk.read(case, "Thought: x\nAction: add\nAction Input: {oops", "").malformed
    assert talk.read(CASE, text, text).calls == []
