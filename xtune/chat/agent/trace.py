"""The steps that an agent takes for one question, told as they come, and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from xtune.chat.agent.base import EndedBy, Outcome, Step, StepKind, Tools, Watcher
from xtune.chat.tools.base import ToolSpec

__all__ = ["Trace", "listed", "traced"]

_REASONS = {
    "max_turns": "no answer after {turns} turns, which is --max-turns",
    "malformed": "what the model wrote could not be used, {turns} times in a row",
    "repeat": "the model asked for the same call again and again",
    "interrupt": "stopped by Ctrl-C",
}


class Trace:
    """The steps of one question, told to a watcher as they come."""

    def __init__(self, watcher: Watcher) -> None:
        self.steps: list[Step] = []
        self._watcher = watcher

    @property
    def number(self) -> int:
        """Of the next step."""
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
        """Return the outcome of a question that was not answered."""
        reason = _REASONS[ended_by].format(turns=turns)
        self.note("end", result=reason, ok=False)
        return Outcome("", ended_by, tuple(self.steps))


def traced(run: Callable[[Trace], Outcome], tools: Tools, watcher: Watcher) -> Outcome:
    """Return the outcome of `run`; Ctrl-C ends it, and what the tools are doing."""
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
