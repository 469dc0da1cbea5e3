"""How calls and results stand in a dialogue: natively, as text, or in others' marks.

NativeForm   the chat template has a place for tools, calls and results
ReActForm    react_text.py
MossForm     moss_form.py
MSAgentForm  msagent_form.py
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from xtune.agents.base import Step, Tools
from xtune.data.tool_calls import Call
from xtune.generation.reply import Reply
from xtune.structures import Message

__all__ = ["Form", "NativeForm", "Turn", "correction"]


@dataclass(frozen=True)
class Turn:
    """What a model's turn means.

    Attributes:
        thought: what it said before it called.
        calls: in order; none in an answer.
        answer: the final answer; None if the turn is none.
        malformed: what is wrong with it; '' if nothing is.
    """

    thought: str = ""
    calls: tuple[Call, ...] = ()
    answer: str | None = None
    malformed: str = ""


class Form(Protocol):
    """A form of calls and results.

    Attributes:
        instructions: added to the system prompt; '' for nothing.
        tools: given to the chat template.
        stop: strings that end a turn.
    """

    instructions: str
    tools: list[dict[str, Any]]
    stop: tuple[str, ...]

    def read(self, reply: Reply) -> Turn:
        """Say what a turn means."""

    def said(self, reply: Reply, turn: Turn) -> Message:
        """Return the turn as it stays in the dialogue.

        Args:
            reply: what the model wrote.
            turn: what was read in it.
        """

    def heard(self, steps: Sequence[Step], calls: Sequence[Call]) -> list[Message]:
        """Return the results of a turn's calls as the model is told them.

        Args:
            steps: what each call gave.
            calls: the turn's calls, in the same order.
        """


class NativeForm:
    """The chat template's own.

    Args:
        tools: the tool box.
    """

    instructions = ""
    stop: tuple[str, ...] = ()

    def __init__(self, tools: Tools) -> None:
        self.tools = tools.schemas()

    def read(self, reply: Reply) -> Turn:
        """Say what a turn means."""
        message = reply.message
        if reply.malformed:
            return Turn(malformed=reply.malformed)
        calls = tuple(map(_call, message.get("tool_calls", ())))
        thought = message.get("reasoning_content", "")
        if calls:
            return Turn(thought="\n".join(filter(None, (thought, message["content"]))), calls=calls)
        if not message["content"].strip():
            return Turn(malformed="it is empty")
        return Turn(thought=thought, answer=message["content"])

    def said(self, reply: Reply, turn: Turn) -> Message:
        """Return the turn as it stays in the dialogue.

        Args: as `Form.said`.
        """
        return reply.message

    def heard(self, steps: Sequence[Step], calls: Sequence[Call]) -> list[Message]:
        """Return one message of the role tool for each call.

        Args: as `Form.heard`.
        """
        made: list[Message] = []
        for step, call in zip(steps, calls, strict=True):
            message: Message = {"role": "tool", "content": step.result, "name": call.name}
            if call.id:
                message["tool_call_id"] = call.id
            made.append(message)
        return made


def correction(turn: Turn) -> Message:
    """Return what a model is told whose turn was malformed."""
    return {
        "role": "user",
        "content": f"Your last message cannot be used: {turn.malformed}. "
        "Write it again, correctly.",
    }


def _call(part: dict[str, Any]) -> Call:
    function = part["function"]
    return Call(function["name"], function["arguments"], part.get("id", ""))
