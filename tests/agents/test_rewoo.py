"""ReWOO: what is planned, what runs next to what, and what is refused before anything runs."""

from __future__ import annotations

import threading

import pytest

from tests.agents.scripted import Box, Scripted, Seen, trace
from xtune.agents.calling import Approval
from xtune.agents.plan import BadPlan, read_plan
from xtune.agents.rewoo import ReWOO
from xtune.data.tool_calls import Call

ASK = [{"role": "user", "content": "Twice 1 + 2, loud?"}]
PLAN = """\
Plan: add
#E1 = add[{"a": 1, "b": 2}]
Plan: say it loud
#E2 = shout[it is #E1]
"""
SPECS = {spec.name: spec for spec in Box().specs}


def run(*replies, box=None, watcher=None, **options):
    box, model = box or Box(), Scripted(*replies)
    agent = ReWOO(model, box, **options)
    return agent.run(ASK, *([watcher] if watcher else [])), model, box


def test_the_whole_trace():
    outcome, model, box = run(PLAN, "IT IS 3.")
    assert trace(outcome) == [
        ("plan", "", {}, '#E1 = add{"a": 1, "b": 2}\n#E2 = shout{"text": "it is #E1"}'),
        ("call", "add", {"a": 1, "b": 2}, "3"),
        ("call", "shout", {"text": "it is 3"}, "IT IS 3"),
        ("answer", "", {}, "IT IS 3."),
    ]
    assert [step.number for step in outcome.steps] == [1, 2, 3, 4]
    assert [step.thought for step in outcome.steps] == ["", "add", "say it loud", ""]
    assert outcome.messages == ({"role": "assistant", "content": "IT IS 3."},)
    solver = model.asked[1][-1]["content"]
    assert "#E1: add\n3\n\n#E2: say it loud\nIT IS 3\n\nRequest: Twice" in solver


def test_steps_that_do_not_wait_for_each_other_run_at_once():
    """Each of the first two waits until the other has begun: one by one they would never end."""
    barrier = threading.Barrier(2, timeout=60)

    def meet():
        return barrier.wait() >= 0

    box = Box(meet=meet, other=meet, after=lambda first, second: f"{first} {second}")
    plan = "#E1 = meet[]\n#E2 = other[]\n#E3 = after[{'first': '#E1', 'second': '#E2'}]"
    outcome, _, _ = run(plan, "ok", box=box)
    assert trace(outcome)[1:4] == [
        ("call", "meet", {}, "True"),
        ("call", "other", {}, "True"),
        ("call", "after", {"first": "True", "second": "True"}, "True True"),
    ]


def test_steps_are_shown_as_they_are_done_and_kept_in_the_plans_order():
    go = threading.Event()

    def slow():
        assert go.wait(60)
        return "slow"

    class Watcher(Seen):
        def step(self, step):
            super().step(step)
            if step.tool == "fail":
                go.set()

    watcher = Watcher()
    outcome, _, _ = run("#E1 = slow[]\n#E2 = fail[]", "ok", box=Box(slow=slow), watcher=watcher)
    assert [step.tool for step in watcher.steps] == ["", "fail", "slow", ""]
    assert [(s.number, s.tool, s.ok) for s in outcome.steps] == [
        (1, "", True),
        (2, "slow", True),
        (3, "fail", False),
        (4, "", True),
    ]


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ("#E1 = shout[#E2]\n#E2 = shout[#E1]", "#E1, #E2 wait for each other"),
        ("#E1 = shout[#E1]", "#E1 wait for each other"),
        ("#E1 = shout[#E7]", "#E1 refers to #E7, which is no step"),
        ("#E1 = shut[x]", "#E1 uses 'shut', which is no tool; did you mean 'shout'?"),
        ("#E1 = add[1 and 2]", "the arguments of #E1 must be a JSON object, not '1 and 2'"),
        ("#E1 = shout[a]\n#E1 = shout[b]", "there are two steps #E1"),
        ("\n".join(f"#E{n} = shout[{n}]" for n in range(30, 51)), "22 steps, and 20 are allowed"),
    ],
)
def test_a_bad_plan_is_refused_before_anything_runs(plan, said):
    outcome, model, box = run("#E9 = shout[first]\n" + plan, PLAN, "ok")
    assert said in outcome.steps[0].result
    assert [step.kind for step in outcome.steps] == ["repair", "plan", "call", "call", "answer"]
    assert box.called == [("add", {"a": 1, "b": 2}), ("shout", {"text": "it is 3"})]
    assert "cannot be carried out" in model.asked[1][-1]["content"]


def test_bad_plans_are_bounded():
    outcome, model, box = run(*["#E1 = shout[#E1]"] * 9)
    assert [step.kind for step in outcome.steps] == ["repair"] * 3 + ["end"]
    assert (outcome.ended_by, box.called, model.left) == ("malformed", [], 6)


def test_several_faults_are_said_at_once():
    with pytest.raises(BadPlan, match=r"'fly'.*; #E1 refers to #E5"):
        read_plan("#E1 = fly[#E5]", SPECS)


@pytest.mark.parametrize(
    "line",
    [
        '#E1 = add[{"a": 1, "b": 2}]',
        'E1 = add({"a": 1, "b": 2})',
        '- #E1: `add[{"a": 1, "b": 2}]`',
        "#E1 = add[{'a': 1,\n  'b': 2}]",
        'Sure!\n计划：加\n#E1 ＝ add（{"a": 1, "b": 2}）',
    ],
)
def test_a_plan_is_read_leniently(line):
    (step,) = read_plan(line, SPECS)
    assert (step.name, step.tool, step.arguments) == ("E1", "add", {"a": 1, "b": 2})


def test_a_plan_out_of_order_is_put_in_order():
    steps = read_plan("#E2 = shout[#E1]\n#E1 = shout[a]", SPECS)
    assert [step.name for step in steps] == ["E1", "E2"]


def test_an_answer_without_a_plan_is_the_answer():
    outcome, model, _ = run("Hello!")
    assert trace(outcome) == [("answer", "", {}, "Hello!")]
    assert len(model.asked) == 1


def test_a_refused_and_an_edited_step():
    def approve(call):
        if call.name == "add":
            return Approval(call=Call("add", {"a": 5, "b": 5}))
        return Approval("refuse", reason="too loud")

    outcome, _, box = run(PLAN, "ok", approve=approve)
    assert box.called == [("add", {"a": 5, "b": 5})]
    assert [step.kind for step in outcome.steps] == ["plan", "call", "refused", "answer"]


def test_ctrl_c_in_a_tool_ends_the_threads():
    released = threading.Event()

    def hang():
        released.wait(60)
        return "released"

    class StoppingBox(Box):
        def stop(self):
            super().stop()
            released.set()

    class Interrupting(Seen):
        def step(self, step):
            super().step(step)
            if step.tool == "fail":
                raise KeyboardInterrupt

    watcher = Interrupting()
    before = threading.active_count()
    outcome, _, box = run(
        "#E1 = hang[]\n#E2 = fail[]", "ok", box=StoppingBox(hang=hang), watcher=watcher
    )
    assert outcome.ended_by == "interrupt"
    assert box.stopped >= 1
    assert threading.active_count() == before
