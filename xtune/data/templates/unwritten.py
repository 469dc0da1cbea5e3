"""`Unwritten`: which parts of a dialogue a chat template leaves out, found by a probe for each.

    dialogue  assistant: "Let me see." + calls clock(), map()     tool: "12:00"     tool: "Rome"
    template  {{ message.tool_calls[0].function.name }} …
    unwritten text next to a call, the second and later calls of a message

A template that reads the first call alone is no error to jinja: the rest is just not there. Each
part is rendered once with a text that no template writes of itself, and looked for. A template that
refuses a part says so itself, of each row that has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from xtune.data.map_fns.base import UnusableRow, is_blank
from xtune.data.templates.default_system import default_system_of, is_empty_system
from xtune.data.templates.end_of_turn import PROBE
from xtune.errors import DataError
from xtune.structures import Conversation, Message

__all__ = ["TOOL_PARTS", "Unwritten"]

_Render = Callable[[Sequence[Message], Sequence[dict[str, Any]] | None], str]

# What a row is kept without, and counted
_REASONING = "reasoning"
_TEXT = "text next to a call"
_SYSTEM = "a system text at the beginning"
_LATER_SYSTEM = "a system text after the beginning"
_TOOLS = "the list of tools"
# What it is not: the model would learn to answer to what it is not shown, or to say half of it
_CALLS = "calls of tools"
_MORE_CALLS = "the second and later calls of a message"
_RESULTS = "results of tools"
_DROPPED = (_CALLS, _MORE_CALLS, _RESULTS)
TOOL_PARTS = (_TOOLS, *_DROPPED)

_ASKED: Message = {"role": "user", "content": "?"}
_ANSWERED: Message = {"role": "assistant", "content": "!"}
_SYSTEM_PROBE: Message = {"role": "system", "content": PROBE}
_CALLED, _ALSO_CALLED = "xtune_probe_a", "xtune_probe_b"  # names of tools
_LISTED = {
    "type": "function",
    "function": {
        "name": "xtune_probe_c",
        "description": "Probes.",
        "parameters": {
            "type": "object",
            "properties": {"x": {"type": "string", "description": "What."}},
            "required": ["x"],
        },
    },
}


class _Probe(NamedTuple):
    """Dialogues, in each of which the words stand in the part that is asked for."""

    words: tuple[str, ...]
    dialogues: tuple[Sequence[Message], ...]
    with_tools: bool = True


def _calling(*names: str, content: str = "") -> Message:
    calls = [
        {"type": "function", "id": f"xtunecal{n}", "function": {"name": name, "arguments": {}}}
        for n, name in enumerate(names)
    ]
    return {"role": "assistant", "content": content, "tool_calls": calls}


def _result(number: int, content: str = "!") -> Message:
    by = f"xtunecal{number}"  # nine letters and digits, as Mistral's ask for
    return {"role": "tool", "name": _CALLED, "tool_call_id": by, "content": content}


_PROBES = {
    _CALLS: _Probe((_CALLED,), ([_ASKED, _calling(_CALLED)],)),
    _MORE_CALLS: _Probe(
        (_CALLED, _ALSO_CALLED),
        (
            [_ASKED, _calling(_CALLED, _ALSO_CALLED)],
            [_ASKED, _calling(_CALLED, _ALSO_CALLED), _result(0), _result(1), _ANSWERED],
        ),
    ),
    _TEXT: _Probe(
        (PROBE,),
        (
            [_ASKED, _calling(_CALLED, content=PROBE)],
            [_ASKED, _calling(_CALLED, content=PROBE), _result(0), _ANSWERED],
        ),
    ),
    _RESULTS: _Probe(
        (PROBE,),
        (
            [_ASKED, _calling(_CALLED), _result(0, PROBE)],
            [_ASKED, _calling(_CALLED), _result(0, PROBE), _ANSWERED],
        ),
    ),
    _TOOLS: _Probe(("xtune_probe_c",), ([_ASKED], [{"role": "system", "content": "?"}, _ASKED])),
    _SYSTEM: _Probe((PROBE,), ([_SYSTEM_PROBE, _ASKED],), with_tools=False),
    _LATER_SYSTEM: _Probe(
        (PROBE,),
        (
            [_ASKED, _ANSWERED, _SYSTEM_PROBE, _ASKED],
            [_ASKED, _ANSWERED, _ASKED, _SYSTEM_PROBE, _ANSWERED],
        ),
        with_tools=False,
    ),
}


class Unwritten:
    """What a chat template leaves out.

    Args:
        render: messages and tools to text; None: no template, nothing is asked.
        name: the template's, for messages.
        writes_reasoning: whether it writes the last answer's.
    """

    def __init__(self, render: _Render | None, name: str, *, writes_reasoning: bool) -> None:
        self._render = render
        self._name = name
        self._writes_reasoning = writes_reasoning

    @cached_property
    def parts(self) -> frozenset[str]:
        """The parts that it leaves out."""
        if self._render is None:
            return frozenset()
        left_out = {part for part, probe in _PROBES.items() if self._leaves_out(probe)}
        if not self._writes_reasoning:
            left_out.add(_REASONING)
        return frozenset(left_out)

    @cached_property
    def default_system(self) -> str:
        """The system text that it writes where a dialogue has none; '' if none."""
        return "" if self._render is None else default_system_of(self._render)

    def require_whole(self, conversation: Conversation) -> None:
        """Refuse a dialogue that makes no sense without what is left out of it.

        Raises:
            UnusableRow: such a part of it is not written.
        """
        if not self.parts.isdisjoint(_DROPPED):
            for part in _parts_of(conversation):
                if part in _DROPPED and part in self.parts:
                    raise UnusableRow(f"template {self._name!r} does not write {part}")

    def of(self, conversation: Conversation) -> set[str]:
        """Return which parts of a dialogue are left out."""
        return set(self.parts.intersection(_parts_of(conversation))) if self.parts else set()

    def _leaves_out(self, probe: _Probe) -> bool:
        """Whether no form of a dialogue has all words; a template may refuse some, or all."""
        assert self._render is not None
        written = []
        for messages in probe.dialogues:
            try:
                written.append(self._render(messages, [_LISTED] if probe.with_tools else None))
            except DataError:
                continue
        return bool(written) and not any(all(w in text for w in probe.words) for text in written)


def _parts_of(conversation: Conversation) -> Iterator[str]:
    """The parts that a dialogue has, of those that a template may leave out."""
    if conversation.get("tools"):
        yield _TOOLS
    for place, message in enumerate(conversation["messages"]):
        role = message["role"]
        if role == "system" and not is_empty_system(message):
            yield _LATER_SYSTEM if place else _SYSTEM
        elif role == "tool":
            yield _RESULTS
        elif role == "assistant" and len(message) > 2:
            if message.get("reasoning_content"):
                yield _REASONING
            calls = message.get("tool_calls")
            if calls:
                yield _CALLS
                if len(calls) > 1:
                    yield _MORE_CALLS
                if not is_blank(message.get("content") or ""):
                    yield _TEXT
