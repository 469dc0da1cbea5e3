"""AutoGPT: cycles, memory, a human's say, and the ends."""

from __future__ import annotations

import json

import pytest

from tests.agents.scripted import Box, Scripted, trace
from xtune.agents.autogpt import AutoGPT, Memory, read_action
from xtune.agents.base import Step
from xtune.agents.calling import Approval, approve_none
from xtune.data.tool_calls import Call

GOAL = [{"role": "user", "content": "Say the sum loud"}]


def act(name, thoughts="t", note="", **arguments):
    action = {"name": name, "arguments": arguments}
    return json.dumps({"thoughts": thoughts, "note": note, "action": action})


ADD = act("add", note="the sum is 3", a=1, b=2)
SHOUT = act("shout", text="three")
FINISH = act("finish", answer="THREE")


def run(*replies, box=None, **options):
    box, model = box or Box(), Scripted(*replies)
    return AutoGPT(model, box, **options).run(GOAL), model, box


def test_the_whole_trace():
    outcome, model, _ = run(ADD, SHOUT, FINISH)
    assert trace(outcome) == [
        ("call", "add", {"a": 1, "b": 2}, "3"),
        ("call", "shout", {"text": "three"}, "THREE"),
        ("answer", "", {}, "THREE"),
    ]
    assert outcome.messages == ({"role": "assistant", "content": "THREE"},)
    assert [len(messages) for messages in model.asked] == [1, 1, 1]  # it does not grow
    assert "Nothing has been done yet." in model.asked[0][0]["content"]
    assert model.asked[2][0]["content"].endswith(
        "Goal: Say the sum loud\n\nYour notes:\n- the sum is 3\nWhat was done so far:\n"
        '1. add {"a": 1, "b": 2}\n3\n2. shout {"text": "three"}\nTHREE\n\n'
        "What is the next action?"
    )


def test_a_human_confirms_edits_and_refuses():
    asked = []

    def human(call):
        asked.append(call[:2])
        if call.name == "add":
            return Approval(call=Call("add", {"a": 2, "b": 2}))
        if call.arguments == {"text": "three"}:
            return Approval("refuse", reason="say four")
        return Approval()

    outcome, model, box = run(ADD, SHOUT, act("shout", text="four"), FINISH, approve=human)
    assert asked == [
        ("add", {"a": 1, "b": 2}),
        ("shout", {"text": "three"}),
        ("shout", {"text": "four"}),
    ]
    assert box.called == [("add", {"a": 2, "b": 2}), ("shout", {"text": "four"})]
    assert [step.kind for step in outcome.steps] == ["call", "refused", "call", "answer"]
    assert "refused this call: say four" in model.asked[2][0]["content"]


def test_no_action_is_approved():
    outcome, _, box = run(ADD, FINISH, approve=approve_none)
    assert (box.called, outcome.answer) == ([], "THREE")


def test_malformed_answers_are_repaired_and_bounded():
    outcome, model, _ = run("Hm.", ADD, FINISH)
    assert [step.kind for step in outcome.steps] == ["repair", "call", "answer"]
    assert [len(messages) for messages in model.asked] == [1, 3, 1]
    outcome, model, box = run(*["Hm."] * 9)
    assert [step.kind for step in outcome.steps] == ["repair"] * 3 + ["end"]
    assert (outcome.ended_by, model.left, box.called) == ("malformed", 6, [])


def test_max_turns_and_repeats():
    outcome, _, box = run(*(act("shout", text=str(n)) for n in range(9)), max_turns=2)
    assert (outcome.ended_by, len(box.called)) == ("max_turns", 2)
    outcome, _, box = run(ADD, ADD, ADD, FINISH)
    assert (outcome.ended_by, len(box.called)) == ("repeat", 1)


def test_ctrl_c():
    outcome, _, box = run(ADD, KeyboardInterrupt)
    assert (outcome.ended_by, box.stopped) == ("interrupt", 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no JSON object"),
        ("[1]", "no JSON object"),
        ('{"thoughts": ', "it is no JSON"),
        ('{"action": "go"}', "its 'action' has no 'name'"),
        ('{"action": {"name": "x", "arguments": 3}}', "are no object"),
        ('{"action": {"name": "finish"}}', "needs an 'answer'"),
        ('{"a":' * 100_000, "it is no JSON"),
    ],
)
def test_what_is_malformed_says_why(text, said):
    assert said in read_action(text)[0].malformed


def test_an_action_in_a_fence_and_in_other_words():
    text = 'Sure:\n```json\n{"command": {"name": "add", "args": {"a": 1}}}\n```'
    assert read_action(text)[0].calls[0][:2] == ("add", {"a": 1})


def test_the_memory_is_bounded_and_keeps_the_last_actions_whole():
    memory = Memory(longest=1000, whole=2)
    for number in range(1, 40):
        memory.note(f"note {number}")
        memory.done(
            Step(number=number, kind="call", tool="shout", result=f"r{number} " + "x" * 200)
        )
    text = memory.text()
    assert len(text) < 1100
    assert "r39 " + "x" * 200 in text
    assert "r38 " + "x" * 200 in text
    assert "note 39" in text
    assert "1. shout" not in text.splitlines()
