"""The steps that an agent takes for one question, told as they come, and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from xtune.agents.base import EndedBy, Outcome, Step, StepKind, Tools, Watcher
from xtune.tools.spec import ToolSpec

__all__ = ["Trace", "listed", "traced"]

_SHOWN = 200  # characters of a result

_REASONS = {
    "max_turns": "no answer after {turns} turns, which is --max-turns",
    "malformed": "what the model wrote could not be used, {turns} times in a row",
    "repeat": "the model asked for the same call again and again: {call}. {result}So does a model "
    "that was trained on calls alone: it has never seen a result. Train it on dialogues that go on "
    "after the call, with a message of the role tool and the answer to it (docs/en/agents.md), "
    "take another model, or ask without --lagent to see the call that it makes",
    "interrupt": "stopped by Ctrl-C",
}


class Trace:
    """The steps of one question, told to a watcher as they come."""

    def __init__(self, watcher: Watcher) -> None:
        self.steps: list[Step] = []
        self._watcher = watcher

    @property
    def number(self) -> int:
        """The number of the next step."""
        return len(self.steps) + 1

    def add(self, step: Step) -> Step:
        """Take a step that is done."""
        self.steps.append(step)
        self._watcher.step(step)
        return step

    def note(self, kind: StepKind, **fields: Any) -> Step:
        """Make a step that is no call, and take it."""
        return self.add(Step(number=self.number, kind=kind, **fields))

    def end(self, ended_by: EndedBy, *, turns: int = 0) -> Outcome:
        """Return the outcome of a question that was not answered.

        Args:
            ended_by: why there is no answer.
            turns: how many the model had.
        """
        reason = _REASONS[ended_by].format(turns=turns, **self._last_call())
        self.note("end", result=reason, ok=False)
        return Outcome("", ended_by, tuple(self.steps))

    def _last_call(self) -> dict[str, str]:
        """The last call, and what came of it when it was made; empty texts if there is none."""
        asked = next((step for step in reversed(self.steps) if step.tool), None)
        if asked is None:
            return {"call": "", "result": ""}
        made = [
            step
            for step in self.steps
            if step.kind == "call" and (step.tool, step.arguments) == (asked.tool, asked.arguments)
        ]
        result = ""
        if made:
            text = " ".join(made[-1].result.split())
            shown = text if len(text) <= _SHOWN else text[:_SHOWN] + " …"
            result = f"{'Its result was' if made[-1].ok else 'It failed'}: {shown}. "
        arguments = json.dumps(asked.arguments, ensure_ascii=False)
        return {"call": f"{asked.tool} {arguments}", "result": result}


def traced(run: Callable[[Trace], Outcome], tools: Tools, watcher: Watcher) -> Outcome:
    """Return the outcome of `run`; Ctrl-C ends it, and what the tools are doing.

    Args:
        run: answers, and notes its steps.
        tools: what it may call.
        watcher: is told each step as it comes.
    """
    trace = Trace(watcher)
    try:
        return run(trace)
    except KeyboardInterrupt:
        tools.stop()
        return trace.end("interrupt")


def listed(specs: Iterable[ToolSpec]) -> str:
    """Describe tools to a model, a line each."""
    return "\n".join(
        f"- {spec.name}: {spec.description} "
        f"Arguments: {json.dumps(spec.parameters.get('properties', {}), ensure_ascii=False)}"
        for spec in specs
    )
