"""ReAct: think, call a tool, read its result, and so on until there is an answer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from xtune.agents.base import AgentModel, Outcome, Tools, Watcher, ignore
from xtune.agents.calling import Approve, Caller, approve_all
from xtune.agents.forms import Form, correction
from xtune.agents.trace import Trace, traced
from xtune.structures import Message

__all__ = ["ReAct"]


class ReAct:
    """An agent that decides one turn at a time.

    Args:
        model: who thinks.
        tools: the tool box.
        form: how its calls are written.
        max_turns: turns of the model at most, malformed ones counted.
        max_repairs: malformed turns in a row that it is told of.
        approve: asked before each call.
    """

    def __init__(
        self,
        model: AgentModel,
        tools: Tools,
        form: Form,
        *,
        max_turns: int = 10,
        max_repairs: int = 2,
        approve: Approve = approve_all,
    ) -> None:
        self._model = model
        self._tools = tools
        self._form = form
        self._max_turns = max_turns
        self._max_repairs = max_repairs
        self._approve = approve

    @property
    def instructions(self) -> str:
        """What is added to the system prompt; '' for nothing."""
        return self._form.instructions

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The tools that the model's template is given, in OpenAI's form."""
        return self._form.tools

    def run(self, messages: Sequence[Message], watcher: Watcher = ignore) -> Outcome:
        """Answer the last message of a dialogue; see `Agent`.

        Args: as `Agent.run`.
        """
        return traced(partial(self._run, messages, watcher), self._tools, watcher)

    def _run(self, messages: Sequence[Message], watcher: Watcher, trace: Trace) -> Outcome:
        caller = Caller(self._tools, self._approve)
        kept: list[Message] = []
        aside: list[Message] = []  # malformed turns, and what was said to them; forgotten after
        malformed = 0
        for _ in range(self._max_turns):
            began = time.monotonic()
            reply = self._model.answer(
                [*messages, *kept, *aside], self._form.tools, watcher.text, stop=self._form.stop
            )
            if reply.ended_by == "interrupt":
                raise KeyboardInterrupt
            seconds = time.monotonic() - began
            turn = self._form.read(reply)
            if turn.malformed:
                malformed += 1
                trace.note(
                    "repair", thought=turn.thought, result=turn.malformed, ok=False, seconds=seconds
                )
                if malformed > self._max_repairs:
                    return trace.end("malformed", turns=malformed)
                written: Message = {"role": "assistant", "content": reply.message["content"] or "…"}
                aside += [written, correction(turn)]
                continue
            aside, malformed = [], 0
            kept.append(self._form.said(reply, turn))
            if turn.answer is not None:
                cut = reply.ended_by == "length"
                trace.note(
                    "answer", thought=turn.thought, result=turn.answer, ok=not cut, seconds=seconds
                )
                return Outcome(turn.answer, "answer", tuple(trace.steps), tuple(kept))
            made = []
            for place, call in enumerate(turn.calls):
                thought = "" if place else turn.thought
                made.append(trace.add(caller(call, number=trace.number, thought=thought)))
            kept += self._form.heard(made, turn.calls)
            if caller.stuck:
                return trace.end("repeat")
        return trace.end("max_turns", turns=self._max_turns)
