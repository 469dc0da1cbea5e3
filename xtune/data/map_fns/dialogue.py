"""The rules that every dialogue format obeys once its field names are translated.

`openai`, `sharegpt` and `turns` differ in names only; what is allowed in a message, what makes a
row unusable, and which assistant messages are trained, is decided here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from xtune.data import json_text
from xtune.data.map_fns.base import UnusableRow, describe, flag, is_blank
from xtune.data.map_fns.tools import tools_of
from xtune.errors import DataError, did_you_mean
from xtune.structures import Conversation, Message

__all__ = ["ROLES", "as_list", "checked_messages", "dialogue"]

ROLES = ("system", "user", "assistant", "tool")


def dialogue(messages: Sequence[object], tools: object = None) -> Conversation:
    """Check raw messages in OpenAI's form and make them a Conversation.

    - `content` is text, or a list of text parts, which are joined; an assistant's may be null if
      it has `tool_calls`, whose `arguments` become a dict. Its `reasoning_content` is kept.
    - An assistant message is trained unless its `loss` is false, or its `weight` 0 (OpenAI's own
      name for it); any other weight is the factor of its tokens in the loss. One that comes before
      the first request stays as context and is not trained: in a chat the model never speaks
      first. Where no one ever asks, a system message counts as the request.
    - A system message without content is left out; a system message may stand anywhere.

    Args:
        messages: dicts with role, content, and where it applies tool_calls, tool_call_id, name,
            loss, weight.
        tools: a list of tool descriptions, or that list as JSON text; null for none.

    Raises:
        UnusableRow: no message, an empty request or answer, or no answer that is trained.
        DataError: a message is not of this form.
    """
    kept = checked_messages(messages)
    for message in kept[: _first_prompt(kept)]:
        if message["role"] == "assistant":
            message["loss"] = False
    answers = [message for message in kept if message["role"] == "assistant"]
    if not answers:
        raise UnusableRow("no answer")
    if not any(message.get("loss", True) for message in answers):
        raise UnusableRow("no answer that is trained")
    conversation: Conversation = {"messages": kept}
    if described := tools_of(tools):
        conversation["tools"] = described
    return conversation


def checked_messages(messages: Sequence[object], *, of: str = "") -> list[Message]:
    """Check raw messages one by one, whatever they are together; see `dialogue`.

    Args:
        messages: as there.
        of: what they belong to, for messages: ' of the prompt'.

    Raises:
        UnusableRow: no message, or an empty request or answer.
        DataError: a message is not of this form.
    """
    if not messages:
        raise UnusableRow("no messages")
    made = [_message(raw, f"message {number}{of}") for number, raw in enumerate(messages, start=1)]
    return [message for message in made if message["role"] != "system" or message["content"]]


def as_list(value: object, *, name: str) -> list[Any]:
    """Return a list that may be written as JSON text (as in tables) or be null.

    Raises:
        DataError: it is something else.
    """
    if isinstance(value, str) and not is_blank(value):
        value = _parsed(value, name)
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        raise DataError(f"{name!r} must be a list, not {describe(value)}")
    return value


def _first_prompt(messages: Sequence[Message]) -> int:
    """Where the first message stands that an answer can answer; the length if none does."""
    for prompting in (("user", "tool"), ("system",)):
        for position, message in enumerate(messages):
            if message["role"] in prompting:
                return position
    return len(messages)


def _message(raw: object, place: str) -> Message:
    if not isinstance(raw, Mapping):
        raise DataError(f"{place} must be an object with a role, not {describe(raw)}")
    role = raw.get("role")
    if role not in ROLES:
        near = did_you_mean(role, ROLES) if isinstance(role, str) else ""
        raise DataError(f"{place} has the role {role!r}{near or ';'} allowed: {', '.join(ROLES)}")
    message: Message = {"role": role, "content": _content(raw.get("content"), place)}
    calls = [_call(call, place) for call in as_list(raw.get("tool_calls"), name="tool_calls")]
    if role == "assistant":
        if calls:
            message["tool_calls"] = calls
        elif is_blank(message["content"]):
            raise UnusableRow("empty answer")
        if reasoning := _content(raw.get("reasoning_content"), f"the reasoning of {place}"):
            message["reasoning_content"] = reasoning
        weight = _weight(raw, place)
        if weight == 0:
            message["loss"] = False
        elif weight != 1:
            message["weight"] = weight
    elif role == "user" and is_blank(message["content"]):
        raise UnusableRow("empty request")
    elif role == "tool":
        for key in ("tool_call_id", "name"):
            if raw.get(key) is not None:
                message[key] = str(raw[key])
    return message


def _content(content: object, place: str) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise DataError(f"the content of {place} must be text, not {describe(content)}")
    texts = []
    for part in content:
        text = part.get("text") if isinstance(part, Mapping) else None
        if not isinstance(text, str) or part.get("type") != "text":
            raise DataError(
                f'{place} has a content part other than {{"type": "text", "text": …}}: '
                f"{describe(part)}. Only text can be trained on"
            )
        texts.append(text)
    return "".join(texts)


def _call(call: object, place: str) -> dict[str, Any]:
    """One tool call with its arguments as a dict, which is what chat templates expect."""
    function = call.get("function", call) if isinstance(call, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if (
        not isinstance(call, Mapping)
        or not isinstance(function, Mapping)
        or not isinstance(name, str)
    ):
        raise DataError(
            f'a tool call of {place} must be {{"function": {{"name": …, "arguments": …}}}}, '
            f"not {describe(call)}"
        )
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        arguments = _parsed(arguments or "{}", f"arguments of {name}")
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise DataError(
            f"the arguments of {name!r} in {place} must be an object, not {describe(arguments)}"
        )
    made: dict[str, Any] = {"type": "function", "function": {"name": name, "arguments": arguments}}
    if call.get("id") is not None:
        made["id"] = str(call["id"])
    return made


def _weight(raw: Mapping[str, Any], place: str) -> float:
    """How much an answer counts in the loss; 0 if it is not trained."""
    if raw.get("loss") is not None and not flag(raw["loss"], name="loss"):
        return 0.0
    weight = raw.get("weight")
    if weight is None:
        return 1.0
    if not isinstance(weight, int | float) or not 0 <= weight < math.inf:
        raise DataError(f"the 'weight' of {place} must be 0 or more, not {describe(weight)}")
    return float(weight)


def _parsed(text: str, name: str) -> Any:
    try:
        return json_text.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{name!r} is text, but not JSON: {describe(text)} ({error})") from error
