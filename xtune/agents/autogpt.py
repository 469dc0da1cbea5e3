"""AutoGPT: work towards a goal in cycles, each from the goal and a memory of what was done.

The dialogue does not grow: every cycle shows the model the goal, its notes, and what it did so far,
the older the shorter. It answers with one JSON object:

    {"thoughts": "…", "note": "what to remember", "action": {"name": "…", "arguments": {…}}}

`finish`, with an `answer`, is the action that ends it.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from xtune.agents.base import AgentModel, Outcome, Step, Tools, Watcher, ignore
from xtune.agents.calling import Approve, Caller, approve_all
from xtune.agents.forms import Turn, correction
from xtune.agents.trace import Trace, listed, traced
from xtune.data.tool_calls import Call, reasoning_in
from xtune.structures import Message

__all__ = ["AutoGPT", "Memory", "read_action"]

_PROMPT = """\
You work towards a goal on your own, one action at a time. The actions:
{tools}
- finish: The goal is reached, or cannot be. Arguments: {{"answer": {{"type": "string"}}}}

Answer with one JSON object and nothing else:
{{"thoughts": "why", "note": "what to remember, or empty", "action": {{"name": "...", "arguments": \
{{...}}}}}}

Goal: {goal}

{memory}

What is the next action?"""


class Memory:
    """What an agent knows of its work: notes, and actions with their results.

    The last actions are kept whole and older ones as one line each; the oldest go when all would
    be longer than allowed. Notes go last, the oldest first.

    Args:
        longest: characters of the text in all.
        whole: actions whose results are shown whole.
    """

    def __init__(self, *, longest: int = 6000, whole: int = 3) -> None:
        self._longest = longest
        self._whole = whole
        self._notes: list[str] = []
        self._steps: list[Step] = []

    def note(self, text: str) -> None:
        """Remember a sentence."""
        if text and text not in self._notes:
            self._notes.append(text[: self._longest // 4])

    def done(self, step: Step) -> None:
        """Remember an action."""
        self._steps.append(step)

    def text(self) -> str:
        """Return it as the model reads it."""
        if not self._notes and not self._steps:
            return "Nothing has been done yet."
        notes = [f"- {note}" for note in self._notes]
        split = max(len(self._steps) - self._whole, 0)
        actions = [_line(step) for step in self._steps[:split]]
        actions += [_block(step, self._longest // 2) for step in self._steps[split:]]
        while len("\n".join([*notes, *actions])) > self._longest and len(actions) > 1:
            del actions[0]
        while len("\n".join([*notes, *actions])) > self._longest and notes:
            del notes[0]
        parts = ["Your notes:", *notes] if notes else []
        return "\n".join([*parts, *(["What was done so far:", *actions] if actions else [])])


class AutoGPT:
    """An agent that goes on until its goal is reached.

    Args:
        model: who decides.
        tools: the tool box.
        max_turns: cycles at most.
        max_repairs: malformed answers in a row that it is told of.
        approve: asked before each action.
    """

    instructions = ""

    def __init__(
        self,
        model: AgentModel,
        tools: Tools,
        *,
        max_turns: int = 20,
        max_repairs: int = 2,
        approve: Approve = approve_all,
    ) -> None:
        self.tools: list[dict[str, Any]] = []
        self._model = model
        self._box = tools
        self._max_turns = max_turns
        self._max_repairs = max_repairs
        self._approve = approve

    def run(self, messages: Sequence[Message], watcher: Watcher = ignore) -> Outcome:
        """Work towards the goal in the last message of a dialogue; see `Agent`.

        Args: as `Agent.run`.
        """
        return traced(partial(self._run, messages, watcher), self._box, watcher)

    def _run(self, messages: Sequence[Message], watcher: Watcher, trace: Trace) -> Outcome:
        caller = Caller(self._box, self._approve)
        memory = Memory()
        before, goal = list(messages[:-1]), messages[-1]["content"]
        aside: list[Message] = []
        malformed = 0
        for _ in range(self._max_turns):
            prompt = _PROMPT.format(tools=listed(self._box.specs), goal=goal, memory=memory.text())
            began = time.monotonic()
            asked: Message = {"role": "user", "content": prompt}
            reply = self._model.answer([*before, asked, *aside], [], watcher.text)
            if reply.ended_by == "interrupt":
                raise KeyboardInterrupt
            seconds = time.monotonic() - began
            text = reply.message["content"]
            turn, note = read_action(text)
            if turn.malformed:
                malformed += 1
                trace.note("repair", result=turn.malformed, ok=False, seconds=seconds)
                if malformed > self._max_repairs:
                    return trace.end("malformed", turns=malformed)
                aside += [{"role": "assistant", "content": text or "…"}, correction(turn)]
                continue
            aside, malformed = [], 0
            memory.note(note)
            if turn.answer is not None:
                trace.note("answer", thought=turn.thought, result=turn.answer, seconds=seconds)
                message: Message = {"role": "assistant", "content": turn.answer}
                return Outcome(turn.answer, "answer", tuple(trace.steps), (message,))
            (call,) = turn.calls
            memory.done(trace.add(caller(call, number=trace.number, thought=turn.thought)))
            if caller.stuck:
                return trace.end("repeat")
        return trace.end("max_turns", turns=self._max_turns)


def read_action(text: str) -> tuple[Turn, str]:
    """Read a cycle's answer; return what it means, and the note in it.

    >>> turn, note = read_action('{"thoughts": "t", "action": {"name": "now", "arguments": {}}}')
    >>> turn.thought, turn.calls[0].name, note
    ('t', 'now', '')
    """
    text = reasoning_in(text)[1]
    found = re.search(r"\{", text)
    try:
        read = (
            json.JSONDecoder(strict=False).raw_decode(text[found.start() :])[0] if found else None
        )
    except (ValueError, RecursionError) as error:
        return Turn(malformed=f"it is no JSON ({error})"), ""
    if not isinstance(read, dict):
        return Turn(malformed="it is no JSON object"), ""
    action = read.get("action", read.get("command", read))
    if not isinstance(action, dict) or not isinstance(action.get("name"), str):
        return Turn(malformed="its 'action' has no 'name'"), ""
    arguments = action.get("arguments", action.get("args", {}))
    if not isinstance(arguments, dict):
        return Turn(malformed="the 'arguments' of its action are no object"), ""
    thoughts = read.get("thoughts", "")
    thought = thoughts if isinstance(thoughts, str) else json.dumps(thoughts, ensure_ascii=False)
    note = read.get("note")
    note = note.strip() if isinstance(note, str) else ""
    if action["name"] == "finish":
        answer = arguments.get("answer", arguments.get("reason", ""))
        if not str(answer).strip():
            return Turn(malformed="'finish' needs an 'answer'"), ""
        return Turn(thought=thought, answer=str(answer).strip()), note
    return Turn(thought=thought, calls=(Call(action["name"], arguments),)), note


def _line(step: Step) -> str:
    done = json.dumps(step.arguments, ensure_ascii=False)[:120]
    result = " ".join(step.result.split())
    return f"{step.number}. {step.tool} {done}: {result[:160]}{'…' if len(result) > 160 else ''}"


def _block(step: Step, longest: int) -> str:
    done = json.dumps(step.arguments, ensure_ascii=False)[:longest]
    return f"{step.number}. {step.tool} {done}\n{step.result[:longest]}"
