"""How a chat template takes an answer with calls: found by asking it for one, once.

transformers' convention is `arguments` as a dict, and a content that is text. Some published
templates join the arguments to other text (DeepSeek's), or take a message for a call only where its
content is null. What they refuse, or write no call of, is given to them in their own way.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from xtune.data.map_fns.base import UnusableRow
from xtune.structures import Message

__all__ = ["CALL", "RESULT", "TOOL", "VALUE", "CallStyle", "style_of"]

_NAME, VALUE, _ID = "probe_tool", "probe value", "probe0001"  # Mistral's ids have nine characters
TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": _NAME,
        "description": "?",
        "parameters": {"type": "object", "properties": {"text": {"type": "string"}}},
    },
}
CALL: dict[str, Any] = {
    "type": "function",
    "id": _ID,
    "function": {"name": _NAME, "arguments": {"text": VALUE}},
}
RESULT: Message = {"role": "tool", "name": _NAME, "tool_call_id": _ID, "content": "?"}


class CallStyle(NamedTuple):
    """What is done to a message with calls before a template gets it.

    Attributes:
        arguments_as_text: they become JSON.
        empty_as_null: a content without text becomes null.
    """

    arguments_as_text: bool = False
    empty_as_null: bool = False

    def __call__(self, message: dict[str, Any]) -> dict[str, Any]:
        """Return a message in this style; one without calls as it is."""
        if not message.get("tool_calls"):
            return message
        made = dict(message)
        if self.empty_as_null and not message.get("content"):
            made["content"] = None
        if self.arguments_as_text:
            made["tool_calls"] = [_with_text(call) for call in message["tool_calls"]]
        return made


def style_of(render: Callable[[list[dict[str, Any]], Sequence[dict[str, Any]]], str]) -> CallStyle:
    """Return the first style in which a template writes a call; the usual one if it does in none.

    Args:
        render: messages and tools to text; raises UnusableRow where the template refuses them.
    """
    answer = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    for style in (CallStyle(), CallStyle(True), CallStyle(False, True), CallStyle(True, True)):
        try:
            written = render([{"role": "user", "content": "?"}, style(answer)], [TOOL])
        except UnusableRow:
            continue
        # The name stands among the tools, too: the value only in the call
        if VALUE in written:
            return style
    return CallStyle()


def _with_text(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function", call)
    if isinstance(function.get("arguments"), str):
        return call
    text = json.dumps(function.get("arguments"), ensure_ascii=False)
    return {**call, "function": {**function, "arguments": text}}
