"""ReAct's text as models write it, well and badly."""

from __future__ import annotations

import pytest

from tests.agents.scripted import Box
from xtune.agents.base import Step
from xtune.agents.react_text import ReActForm, read_react
from xtune.data.map_fns.msagent_react import msagent_react_map_fn
from xtune.generation.reply import Reply

BOX = Box()
SPECS = {spec.name: spec for spec in BOX.specs}
ADD = ("add", {"a": 1, "b": 2})


def read(text):
    return read_react(text, SPECS)


@pytest.mark.parametrize(
    ("text", "thought"),
    [
        ('Thought: I add.\nAction: add\nAction Input: {"a": 1, "b": 2}', "I add."),
        ('Action: add\nAction Input: {"a": 1, "b": 2}', ""),
        ('I add.\n\nAction: add\nAction Input: {"a": 1, "b": 2}\n', "I add."),
        ('thought: I add.\naction: add\naction input: {"a": 1, "b": 2}', "I add."),
        ('**Thought:** I add.\n**Action:** `add`\n**Action Input:** {"a": 1, "b": 2}', "I add."),
        ('Thought: I add.\nAction: add\nAction Input: ```json\n{"a": 1, "b": 2}\n```', "I add."),
        ("Thought: I add.\nAction: add\nAction Input: {'a': 1, 'b': 2}", "I add."),
        ('Thought: I add.\nAction: add\nAction Input: {"a": 1, "b": 2', "I add."),
        ('Thought: I add.\nAction: add({"a": 1, "b": 2})', "I add."),
        ('Thought: I add.\nAction: {"name": "add", "arguments": {"a": 1, "b": 2}}', "I add."),
        ('Thought 1: I add.\nAction 1: add\nAction Input 1: {"a": 1, "b": 2}', "I add."),
        ('思考：I add.\n行动：add\n行动输入：{"a": 1, "b": 2}', "I add."),
        ('Thought:I add.\nAction:add\nAction Input:{"a": 1, "b": 2}', "I add."),
        ('想法: I add.\n工具: add\n工具参数: {"a": 1, "b": 2}', "I add."),
        ('<think>I add.</think>\nAction: add\nAction Input: {"a": 1, "b": 2}', "I add."),
        ('{"name": "add", "arguments": {"a": 1, "b": 2}}', ""),  # as the demo trains it
        ('```json\n{"name": "add", "arguments": {"a": 1, "b": 2}}\n```', ""),
        (
            'Thought: I add.\nAction: add\nAction Input: {"a": 1, "b": 2}\nObservation: 3\n'
            "Thought: done\nFinal Answer: made up",
            "I add.",
        ),
    ],
)
def test_a_call(text, thought):
    turn = read(text)
    assert (turn.thought, turn.malformed, turn.answer) == (thought, "", None)
    assert [call[:2] for call in turn.calls] == [ADD]


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ("Action: shout\nAction Input: hello, you", ("shout", {"text": "hello, you"})),
        ('Action: shout\nAction Input: "hello"', ("shout", {"text": "hello"})),
        ("Action: shout[hello]", ("shout", {"text": "hello"})),
        ("Action: fail\nAction Input: None", ("fail", {})),
        ("Action: fail", ("fail", {})),
        ('Action: nothing\nAction Input: {"x": 1}', ("nothing", {"x": 1})),
    ],
)
def test_arguments_that_are_no_object(text, call):
    assert [each[:2] for each in read(text).calls] == [call]


@pytest.mark.parametrize(
    ("text", "answer", "thought"),
    [
        ("Thought: done\nFinal Answer: 372", "372", "done"),
        ("最终答案：372", "372", ""),
        ("Final Answer: two\nlines", "two\nlines", ""),
        ("It is 372.", "It is 372.", ""),
        ("Result: 372", "Result: 372", ""),
        ("<think>easy</think>\n372", "372", "easy"),
        ('Action: Finish\nAction Input: {"final_answer": "372"}', "372", ""),
        ("Action: Final Answer\nAction Input: 372", "372", ""),
    ],
)
def test_an_answer(text, answer, thought):
    turn = read(text)
    assert (turn.answer, turn.thought, turn.calls, turn.malformed) == (answer, thought, (), "")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "it is empty"),
        ("Thought: I wonder.", "neither 'Action:'"),
        ("Action: add\nAction Input: one and two", "must be a JSON object, not 'one and two'"),
        ("Action: add\nAction Input: {a: 1}", "must be a JSON object"),
        ("Action: add\nAction Input: {'a': __import__('os').getpid()}", "must be a JSON object"),
        ("Action: I do not know which tool\nAction Input: {}", "must name a tool"),
        ("Final Answer:", "nothing after Final Answer"),
        ("Action: add\nAction Input: " + "[" * 100_000, "must be a JSON object"),
    ],
)
def test_what_is_malformed_says_why(text, said):
    turn = read(text)
    assert said in turn.malformed
    assert (turn.calls, turn.answer) == ((), None)


def test_what_a_model_makes_up_after_its_call_does_not_stay():
    text = (
        'Thought: x\nAction: add\nAction Input: {"a": 1, "b": 2}\nObservation: 4\nFinal Answer: 4'
    )
    reply = Reply({"role": "assistant", "content": text}, text)
    form = ReActForm(BOX)
    assert form.said(reply, form.read(reply)) == {
        "role": "assistant",
        "content": 'Thought: x\nAction: add\nAction Input: {"a": 1, "b": 2}',
    }


@pytest.mark.parametrize(
    ("language", "takes", "message"),
    [
        ("en", ("user", "tool"), {"role": "tool", "content": "3", "name": "add"}),
        ("en", ("user",), {"role": "user", "content": "Observation: 3", "name": "add"}),
        ("zh", ("user", "system"), {"role": "system", "content": "Response:3", "name": "add"}),
    ],
)
def test_a_result_has_a_role_that_the_template_shows(language, takes, message):
    form = ReActForm(BOX, language=language, takes_role=lambda role: role in takes)
    calls = read('Action: add\nAction Input: {"a": 1, "b": 2}').calls
    assert form.heard([Step(number=1, kind="call", result="3")], calls) == [message]


def test_in_chinese_it_is_what_msagent_react_trains():
    row = {
        "conversations": [
            {
                "from": "system",
                "value": '{"plugin_name": "shout", "plugin_schema_for_model": '
                '{"description": "Does shout.", "paths": [{"parameters": []}]}}',
            },
            {"from": "user", "value": "Hi?"},
            {
                "from": "assistant",
                "value": 'Loud.<|startofthink|>{"api_name": "shout", "parameters": '
                '{"text": "hi"}}<|endofthink|><|startofexec|>HI<|endofexec|>HI!',
            },
        ]
    }
    system, _, call, result, answer = msagent_react_map_fn(row)["messages"]
    box = Box()
    box.specs = box.specs[1:2]
    form = ReActForm(box, language="zh", takes_role=lambda role: True)
    ours, trained = form.instructions.splitlines(), system["content"].splitlines()
    assert [line for line in ours if not line.startswith("- ")] == [
        line for line in trained if not line.startswith("- ")
    ]
    turn = read(call["content"])
    assert turn.calls[0][:2] == ("shout", {"text": "hi"})
    reply = Reply({"role": "assistant", "content": call["content"]}, call["content"])
    assert form.said(reply, turn)["content"] == call["content"]
    (told,) = form.heard([Step(number=1, kind="call", result="HI")], turn.calls)
    assert (told["role"], told["content"]) == (result["role"], result["content"])
    assert read(answer["content"]).answer == "HI!"
