"""ReAct over a scripted model: every step, what the model was asked, and what stays."""

from __future__ import annotations

import pytest

from tests.agents.scripted import Box, Scripted, Seen, native, trace
from xtune.agents.calling import Approval, approve_none
from xtune.agents.forms import NativeForm
from xtune.agents.react import ReAct
from xtune.agents.react_text import ReActForm
from xtune.data.tool_calls import Call

ASK = [{"role": "user", "content": "1 + 2, loud?"}]
ADD = 'Thought: I add.\nAction: add\nAction Input: {"a": 1, "b": 2}'
SHOUT = 'Thought: Loud.\nAction: shout\nAction Input: {"text": "three"}'
FAIL = "Action: fail\nAction Input: {}"
DONE = "Thought: I know.\nFinal Answer: THREE"
SUM = {"a": 1, "b": 2}


def run(*replies, box=None, form=ReActForm, watcher=None, is_native=False, **options):
    box = box or Box()
    model = Scripted(*replies, native=is_native)
    agent = ReAct(
        model,
        box,
        form(box) if form is NativeForm else form(box, takes_role=lambda role: role == "user"),
        **options,
    )
    outcome = agent.run(ASK, *([watcher] if watcher else []))
    return outcome, model, box


def test_the_whole_trace_in_text():
    seen = Seen()
    outcome, model, box = run(ADD, SHOUT, DONE, watcher=seen)
    assert trace(outcome) == [
        ("call", "add", SUM, "3"),
        ("call", "shout", {"text": "three"}, "THREE"),
        ("answer", "", {}, "THREE"),
    ]
    assert [step.thought for step in outcome.steps] == ["I add.", "Loud.", "I know."]
    assert [step.number for step in outcome.steps] == [1, 2, 3]
    assert (outcome.answer, outcome.ended_by) == ("THREE", "answer")
    assert box.called == [("add", SUM), ("shout", {"text": "three"})]
    kept = [
        {"role": "assistant", "content": ADD},
        {"role": "user", "content": "Observation: 3", "name": "add"},
        {"role": "assistant", "content": SHOUT},
        {"role": "user", "content": "Observation: THREE", "name": "shout"},
        {"role": "assistant", "content": DONE},
    ]
    assert list(outcome.messages) == kept
    assert model.asked == [ASK, ASK + kept[:2], ASK + kept[:4]]
    assert seen.steps == list(outcome.steps)
    assert "".join(seen.written.split()) == "".join((ADD + SHOUT + DONE).split())


def test_the_whole_trace_natively_with_two_calls_at_once():
    calls = Call("add", SUM, "c1"), Call("shout", {"text": "x"}, "c2")
    outcome, model, box = run(
        native("Both.", *calls), native("Done."), form=NativeForm, is_native=True
    )
    assert trace(outcome) == [
        ("call", "add", SUM, "3"),
        ("call", "shout", {"text": "x"}, "X"),
        ("answer", "", {}, "Done."),
    ]
    assert [step.thought for step in outcome.steps] == ["Both.", "", ""]
    assert outcome.messages[1:3] == (
        {"role": "tool", "content": "3", "name": "add", "tool_call_id": "c1"},
        {"role": "tool", "content": "X", "name": "shout", "tool_call_id": "c2"},
    )
    assert outcome.messages[0]["tool_calls"] == [call.as_message_part() for call in calls]
    assert model.tools == [box.schemas()] * 2


def test_no_tool_is_needed():
    outcome, _, box = run("Hello!")
    assert trace(outcome) == [("answer", "", {}, "Hello!")]
    assert box.called == []


def test_a_malformed_turn_is_repaired_and_then_forgotten():
    outcome, model, _ = run("Thought: hm.", ADD, "Action: add\nAction Input: x", DONE)
    assert [step.kind for step in outcome.steps] == ["repair", "call", "repair", "answer"]
    assert model.asked[1] == [
        *ASK,
        {"role": "assistant", "content": "Thought: hm."},
        {
            "role": "user",
            "content": "Your last message cannot be used: it has neither 'Action:' with 'Action "
            "Input:' nor 'Final Answer:'. Write it again, correctly.",
        },
    ]
    assert len(model.asked[2]) == 3  # the question, the call, its result
    assert [message["content"] for message in outcome.messages] == [ADD, "Observation: 3", DONE]


def test_malformed_turns_are_bounded():
    outcome, model, box = run(*["Thought: hm."] * 9, max_repairs=2)
    assert [step.kind for step in outcome.steps] == ["repair"] * 3 + ["end"]
    assert (outcome.ended_by, outcome.answer, outcome.messages) == ("malformed", "", ())
    assert model.left == 6
    assert box.called == []


def test_a_malformed_native_call_is_repaired():
    outcome, model, _ = run(
        native("", malformed="the call is no JSON"), native("Done."), form=NativeForm
    )
    assert [step.kind for step in outcome.steps] == ["repair", "answer"]
    assert "the call is no JSON" in model.asked[1][-1]["content"]


def test_max_turns():
    texts = [f'Action: shout\nAction Input: {{"text": "{n}"}}' for n in range(9)]
    outcome, model, box = run(*texts, max_turns=3)
    assert [step.kind for step in outcome.steps] == ["call"] * 3 + ["end"]
    assert outcome.ended_by == "max_turns"
    assert outcome.steps[-1].result == "no answer after 3 turns, which is --max-turns"
    assert (len(box.called), model.left) == (3, 6)


def test_a_repeated_call_is_noticed_and_a_third_one_ends_it():
    again = ADD.replace("1, ", "1,   ")
    outcome, model, box = run(ADD, again, ADD, DONE)
    assert [step.kind for step in outcome.steps] == ["call", "repeat", "repeat", "end"]
    assert box.called == [("add", SUM)]
    assert "made this very call before. Its result was: 3" in model.asked[2][-1]["content"]
    assert (outcome.ended_by, model.left) == ("repeat", 1)
    said = outcome.steps[-1].result
    assert 'again and again: add {"a": 1, "b": 2}. Its result was: 3. So does a model' in said
    assert "Train it on dialogues that go on after the call" in said


def test_a_call_that_fails_again_and_again_says_how():
    call = "Action: fail\nAction Input: {}"
    outcome, _, box = run(call, call, call)
    assert len(box.called) == 2
    assert "fail {}. It failed: ZeroDivisionError: by zero. So does" in outcome.steps[-1].result


def test_a_repeated_call_that_is_taken_to_heart():
    outcome, _, box = run(ADD, ADD, DONE)
    assert [step.kind for step in outcome.steps] == ["call", "repeat", "answer"]
    assert len(box.called) == 1


def test_a_call_that_failed_is_made_once_more():
    results = iter([ValueError("busy"), "fine"])

    def flaky():
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    outcome, _, _ = run(*["Action: flaky\nAction Input: {}"] * 2, DONE, box=Box(flaky=flaky))
    assert [(s.kind, s.ok, s.result) for s in outcome.steps[:2]] == [
        ("call", False, "ValueError: busy"),
        ("call", True, "fine"),
    ]


def test_a_tools_error_and_an_unknown_tool_are_observations():
    outcome, model, _ = run(FAIL, "Action: fly\nAction Input: {}", DONE)
    assert [(s.kind, s.ok) for s in outcome.steps] == [
        ("call", False),
        ("call", False),
        ("answer", True),
    ]
    assert model.asked[1][-1]["content"] == "Observation: ZeroDivisionError: by zero"
    assert model.asked[2][-1]["content"] == "Observation: there is no tool 'fly'"


def test_a_refused_call_is_not_made():
    outcome, model, box = run(ADD, DONE, approve=lambda call: Approval("refuse", reason="too easy"))
    assert box.called == []
    assert [step.kind for step in outcome.steps] == ["refused", "answer"]
    assert "refused this call: too easy." in model.asked[1][-1]["content"]
    assert run(ADD, DONE, approve=approve_none)[2].called == []


def test_an_edited_call_is_made_as_edited():
    other = Call("add", {"a": 5, "b": 5})
    outcome, _, box = run(ADD, DONE, approve=lambda call: Approval(call=other))
    assert box.called == [("add", {"a": 5, "b": 5})]
    assert trace(outcome)[0] == (
        "call",
        "add",
        {"a": 5, "b": 5},
        '(The user changed this call to add {"a": 5, "b": 5}.)\n10',
    )


@pytest.mark.parametrize("where", ["model", "tool"])
def test_ctrl_c(where):
    def stopped():
        raise KeyboardInterrupt

    replies = [KeyboardInterrupt] if where == "model" else ["Action: stopped\nAction Input: {}"]
    outcome, _, box = run(ADD, *replies, DONE, box=Box(stopped=stopped))
    assert (outcome.ended_by, outcome.messages) == ("interrupt", ())
    assert [step.kind for step in outcome.steps] == ["call", "end"]
    assert box.stopped == 1


def test_ctrl_c_that_the_model_caught():
    outcome, _, _ = run(native("Hal", ended_by="interrupt"), form=NativeForm)
    assert outcome.ended_by == "interrupt"


def test_an_answer_that_was_cut_is_not_ok():
    outcome, _, _ = run(native("It is", ended_by="length"), form=NativeForm)
    assert (outcome.answer, outcome.steps[-1].ok) == ("It is", False)


def test_a_step_is_one_json_object():
    outcome, _, _ = run(ADD, FAIL, DONE)
    lines = [step.as_json() | {"seconds": 0} for step in outcome.steps]
    assert lines == [
        {
            "step": 1,
            "kind": "call",
            "thought": "I add.",
            "tool": "add",
            "arguments": SUM,
            "result": "3",
            "ok": True,
            "seconds": 0,
        },
        {
            "step": 2,
            "kind": "call",
            "tool": "fail",
            "arguments": {},
            "result": "ZeroDivisionError: by zero",
            "ok": False,
            "seconds": 0,
        },
        {
            "step": 3,
            "kind": "answer",
            "thought": "I know.",
            "result": "THREE",
            "ok": True,
            "seconds": 0,
        },
    ]
