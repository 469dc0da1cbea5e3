"""ShareGPT's format: conversations of {from, value}, with tools as LLaMA-Factory writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xtune.data.map_fns.base import UnusableRow, describe, field, is_blank
from xtune.data.map_fns.dialogue import dialogue
from xtune.data.map_fns.literal import literal_list
from xtune.data.map_fns.speakers import SPEAKERS, spoken
from xtune.data.map_fns.takes import takes
from xtune.data.map_fns.watched import parsed_json
from xtune.errors import DataError
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["sharegpt_map_fn"]

_SPEAKERS = {
    **SPEAKERS,
    "function_call": "assistant",
    "tool": "tool",
    "observation": "tool",
    "function_response": "tool",
}


@MAP_FNS.register_module("sharegpt")
@takes(conversations="from value", texts="system", also="messages tools functions")
def sharegpt_map_fn(row: dict[str, Any]) -> Conversation:
    """Read `conversations` (from, value, loss, weight), and optional `system` and `tools`.

    `from` is system, human (or user), gpt (or assistant, chatgpt, bing, bard), function_call
    (`value` is one call as JSON, or a list of them), tool, observation or function_response.
    An element may have {role, content} in place of {from, value}; elements that have a `from` may
    stand in `messages`.

    >>> sharegpt_map_fn({'system': 'Be brief.', 'conversations': [
    ...     {'from': 'human', 'value': 'Time in Rome?'},
    ...     {'from': 'function_call', 'value': '{"name": "clock", "arguments": {"city": "Rome"}}'},
    ...     {'from': 'observation', 'value': '12:00'},
    ...     {'from': 'gpt', 'value': 'Noon.'}]})['messages'][2]['tool_calls']
    [{'type': 'function', 'function': {'name': 'clock', 'arguments': {'city': 'Rome'}}}]

    Raises:
        UnusableRow: an empty request or answer, or nothing to train on.
        DataError: `conversations` is missing, or an element is not of this form.
    """
    name = "messages" if _speaks(row.get("messages")) else "conversations"
    said = literal_list(field(row, name), name=name)
    messages = [_message(one, f"conversation element {n}") for n, one in enumerate(said, start=1)]
    if messages and row.get("system"):
        messages.insert(0, {"role": "system", "content": row["system"]})
    return dialogue(messages, row.get("tools"), row.get("functions"))


def _speaks(messages: object) -> bool:
    """Whether the first of these names a speaker, and no role."""
    return isinstance(messages, list) and bool(messages) and "from" in messages[0]


def _message(said: object, place: str) -> dict[str, Any]:
    by, text = ("role", "content") if _has_roles(said) else ("from", "value")
    message = spoken(said, place, speakers=_SPEAKERS, by=by, text=text)
    if isinstance(said, Mapping) and said[by] == "function_call":
        message["tool_calls"] = _calls(message.pop("content"), place)
    return message


def _has_roles(said: object) -> bool:
    return isinstance(said, Mapping) and "role" in said and "from" not in said


def _calls(value: object, place: str) -> list[Any]:
    if not isinstance(value, str) or is_blank(value):
        raise UnusableRow("empty function call")
    try:
        calls = parsed_json(value)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"the function_call in {place} is not JSON: {describe(value)} ({error})"
        ) from error
    return calls if isinstance(calls, list) else [calls]
