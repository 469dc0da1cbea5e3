"""ReWOO: plan everything first, run what does not wait for other steps at once, then answer."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import replace
from functools import partial
from typing import Any

from xtune.agents.base import AgentModel, Outcome, Step, Tools, Watcher, ignore
from xtune.agents.calling import Approve, Caller, approve_all
from xtune.agents.plan import BadPlan, PlanStep, filled, read_plan
from xtune.agents.trace import Trace, listed, traced
from xtune.data.tool_calls import Call, reasoning_in
from xtune.structures import Message

__all__ = ["ReWOO"]

_PLANNER = """\
Make a plan for the request below: which tools to call, in which order. The tools:
{tools}

Write each step on lines of its own, in this form, and nothing else:
Plan: what the step is for
#E1 = tool[{{"argument": "value"}}]
A later step can use the result of an earlier one by its name, #E1. If no tool is needed, write no
step but the answer itself.

Request: {question}"""
_SOLVER = """\
Answer the request with the results below. Answer only, without a plan.

{evidence}

Request: {question}"""


class ReWOO:
    """An agent that plans, works and solves; the model is asked twice.

    Args:
        model: who plans and solves.
        tools: the tool box.
        max_repairs: plans that cannot be carried out, in a row, that it is told of.
        max_parallel: calls at once.
        approve: asked before each call.
    """

    instructions = ""

    def __init__(
        self,
        model: AgentModel,
        tools: Tools,
        *,
        max_repairs: int = 2,
        max_parallel: int = 4,
        approve: Approve = approve_all,
    ) -> None:
        self.tools: list[dict[str, Any]] = []
        self._model = model
        self._box = tools
        self._specs = {spec.name: spec for spec in tools.specs}
        self._max_repairs = max_repairs
        self._max_parallel = max_parallel
        self._approve = approve

    def run(self, messages: Sequence[Message], watcher: Watcher = ignore) -> Outcome:
        """Answer the last message of a dialogue; see `Agent`.

        Args: as `Agent.run`.
        """
        return traced(partial(self._run, messages, watcher), self._box, watcher)

    def _run(self, messages: Sequence[Message], watcher: Watcher, trace: Trace) -> Outcome:
        before, question = list(messages[:-1]), messages[-1]["content"]
        asked: list[Message] = [
            {
                "role": "user",
                "content": _PLANNER.format(tools=listed(self._specs.values()), question=question),
            }
        ]
        for attempt in range(self._max_repairs + 1):
            text, ended, seconds = self._ask([*before, *asked], watcher)
            try:
                plan = read_plan(text, self._specs)
                break
            except BadPlan as error:
                trace.note("repair", result=str(error), ok=False, seconds=seconds)
                if attempt == self._max_repairs:
                    return trace.end("malformed", turns=attempt + 1)
                fault = f"This plan cannot be carried out: {error}. Write it again, correctly."
                asked += [
                    {"role": "assistant", "content": text},
                    {"role": "user", "content": fault},
                ]
        if not plan:
            return _answered(trace, text, ended, seconds)
        trace.note("plan", result="\n".join(map(_shown, plan)), seconds=seconds)
        results = self._work(plan, trace)
        evidence = "\n\n".join(
            f"#{step.name}: {step.why or step.tool}\n{results[step.name]}" for step in plan
        )
        solve: Message = {
            "role": "user",
            "content": _SOLVER.format(evidence=evidence, question=question),
        }
        text, ended, seconds = self._ask([*before, solve], watcher)
        return _answered(trace, text, ended, seconds)

    def _ask(self, messages: Sequence[Message], watcher: Watcher) -> tuple[str, str, float]:
        began = time.monotonic()
        reply = self._model.answer(messages, [], watcher.text)
        if reply.ended_by == "interrupt":
            raise KeyboardInterrupt
        text = reasoning_in(reply.message["content"])[1].strip()
        return text, reply.ended_by, time.monotonic() - began

    def _work(self, plan: Sequence[PlanStep], trace: Trace) -> dict[str, str]:
        """Run every step as soon as what it refers to is there."""
        caller = Caller(self._box, self._approve)
        results: dict[str, str] = {}
        waiting = list(plan)
        running: dict[Future[Step], PlanStep] = {}
        first = trace.number
        pool = ThreadPoolExecutor(self._max_parallel)
        try:
            while waiting or running:
                ready = [step for step in waiting if step.needs <= results.keys()]
                for step in ready:
                    waiting.remove(step)
                    call = Call(step.tool, filled(step.arguments, results))
                    # A human is asked by this thread, about one call after the other
                    running[pool.submit(caller.prepare(call))] = step
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in sorted(done, key=lambda each: plan.index(running[each])):
                    step = running.pop(future)
                    made = future.result()
                    results[step.name] = made.result
                    number = first + plan.index(step)
                    trace.add(replace(made, number=number, thought=step.why))
        except BaseException:
            self._box.stop()  # so that the threads end, too
            raise
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
        trace.steps.sort(key=lambda step: step.number)  # they came as they were done
        return results


def _answered(trace: Trace, text: str, ended: str, seconds: float) -> Outcome:
    if not text:
        trace.note("repair", result="it is empty", ok=False, seconds=seconds)
        return trace.end("malformed", turns=1)
    trace.note("answer", result=text, ok=ended != "length", seconds=seconds)
    message: Message = {"role": "assistant", "content": text}
    return Outcome(text, "answer", tuple(trace.steps), (message,))


def _shown(step: PlanStep) -> str:
    return f"#{step.name} = {step.tool}{json.dumps(step.arguments, ensure_ascii=False)}"
