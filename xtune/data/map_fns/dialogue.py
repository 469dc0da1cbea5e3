"""The rules that every dialogue format obeys once its field names are translated.

`openai`, `sharegpt` and `turns` differ in names only; what is allowed in a message, what makes a
row unusable, and which assistant messages are trained, is decided here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from xtune.data.map_fns.base import UnusableRow, describe, flag, is_blank
from xtune.data.map_fns.literal import literal_list, parsed_text
from xtune.data.map_fns.tools import tools_of
from xtune.data.map_fns.watched import peek
from xtune.errors import DataError, did_you_mean
from xtune.structures import Conversation, Message

__all__ = ["REASONING", "ROLES", "as_list", "checked_messages", "dialogue", "take_untrained"]

ROLES = ("system", "user", "assistant", "tool")
# What others call them, whatever the case of the letters
_MEANT: Mapping[str, str] = {
    "developer": "system",  # OpenAI's, since o1
    "human": "user",
    "prompter": "user",
    "ai": "assistant",
    "bot": "assistant",
    "chatbot": "assistant",
    "gpt": "assistant",
    "model": "assistant",  # Gemini's
    "function": "tool",  # OpenAI's, of function_call
    "function_response": "tool",
    "ipython": "tool",  # Llama 3's
    "observation": "tool",
    "tool_response": "tool",
}
REASONING = ("reasoning_content", "thinking", "reasoning")  # three spellings of one thing
_TEXT_PARTS = ("text", "input_text", "output_text")


def dialogue(
    messages: Sequence[object], tools: object = None, functions: object = None
) -> Conversation:
    """Check raw messages in OpenAI's form and make them a Conversation.

    - `content` is text, or a list of text parts, which are joined; an assistant's may be null if
      it has `tool_calls`, whose `arguments` become a dict. Its `reasoning_content` is kept, which
      may be called `thinking` or `reasoning`.
    - OpenAI's older form is read as the newer: `function_call`, `functions`, the role function; and
      so are the roles that others write: developer, human, gpt, model.
    - An assistant message is trained unless its `loss` is false, or its `weight` 0 (OpenAI's own
      name for it); any other weight is the factor of its tokens in the loss. One that comes before
      the first request stays as context and is not trained: in a chat the model never speaks
      first. Where no one ever asks, a system message counts as the request.
    - A system message may stand anywhere. One whose content is null is left out; '' is kept, which
      is how one asks a template that has a system text of its own for none.

    Args:
        messages: dicts with role, content, and where it applies tool_calls, tool_call_id, name,
            loss, weight.
        tools: a list of tool descriptions, or that list as JSON text; null for none.
        functions: the same in OpenAI's older form, each without `{"type": "function", ...}` around.

    Raises:
        UnusableRow: no message, an empty request or answer, no answer that is trained, a part that
            is no text, or two spellings of one thing that say different things.
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
    older = [{"type": "function", "function": one} for one in as_list(functions, name="functions")]
    if described := _either("tools", tools_of(tools), "functions", older):
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
    return [one for one, raw in zip(made, messages, strict=True) if not _is_null_system(one, raw)]


def _is_null_system(message: Message, raw: object) -> bool:
    """Whether a system message is one that a table has no text for; '' is a text."""
    empty = message["role"] == "system" and not message["content"]
    return empty and isinstance(raw, Mapping) and peek(raw, "content") != ""


def as_list(value: object, *, name: str) -> list[Any]:
    """Return a list that may be text, see `literal_list`, or null, which is an empty one.

    Args:
        value: as it was read.
        name: of the field, for messages.

    Raises:
        DataError: it is something else.
    """
    return [] if value is None else literal_list(value, name=name)


def take_untrained(raw: Mapping[str, Any]) -> None:
    """Take the `loss` and `weight` of a message that is no answer, where they say what is so."""
    for key in ("loss", "weight"):
        if peek(raw, key) in (0, "false", "False"):
            raw.get(key)


def _first_prompt(messages: Sequence[Message]) -> int:
    """Where the first message stands that an answer can answer; the length if none does."""
    for prompting in (("user", "tool"), ("system",)):
        for position, message in enumerate(messages):
            if message["role"] in prompting and (prompting != ("system",) or message["content"]):
                return position
    return len(messages)


def _message(raw: object, place: str) -> Message:
    if not isinstance(raw, Mapping):
        raise DataError(f"{place} must be an object with a role, not {describe(raw)}")
    role = _role(raw.get("role"), place)
    content, thought = _content(raw.get("content"), place)
    message: Message = {"role": role, "content": content}
    if role == "assistant":
        if calls := _calls(raw, place):
            message["tool_calls"] = calls
        elif is_blank(content):
            raise UnusableRow("empty answer")
        if reasoning := _reasoning(raw, thought, place):
            message["reasoning_content"] = reasoning
    elif role == "user" and is_blank(content):
        raise UnusableRow("empty request")
    elif role == "tool":
        for key in ("tool_call_id", "name"):
            if raw.get(key) is not None:
                message[key] = str(raw[key])
    if "loss" in raw or "weight" in raw:
        _weigh(message, raw, place)
    return message


def _role(given: object, place: str) -> str:
    if given in ROLES:
        return str(given)
    role = given.lower() if isinstance(given, str) else ""
    role = _MEANT.get(role, role)
    if role not in ROLES:
        near = did_you_mean(given, ROLES) if isinstance(given, str) else ""
        raise DataError(f"{place} has the role {given!r}{near or ';'} allowed: {', '.join(ROLES)}")
    return role


def _either(name: str, value: Any, other_name: str, other: Any) -> Any:
    """What two spellings of one thing say, of which mostly one is there."""
    if value and other and value != other:
        raise UnusableRow(f"{name!r} and {other_name!r} say different things")
    return value or other


def _reasoning(raw: Mapping[str, Any], thought: str, place: str) -> str:
    """What an answer's author thought; `thought` is what the parts of its content say."""
    name = "content"
    for key in REASONING:
        if key in raw:
            said, _ = _content(raw.get(key), f"the {key} of {place}")
            thought, name = _either(name, thought, key, said), key
    return thought


def _calls(raw: Mapping[str, Any], place: str) -> list[dict[str, Any]]:
    calls = [_call(call, place) for call in as_list(raw.get("tool_calls"), name="tool_calls")]
    older = raw.get("function_call") if "function_call" in raw else None
    if isinstance(older, str):
        older = parsed_text(older, name="function_call") if not is_blank(older) else None
    if not older:
        return calls
    call = _call(older, place)
    if calls and [one["function"] for one in calls] != [call["function"]]:
        raise UnusableRow("'tool_calls' and 'function_call' say different things")
    return calls or [call]


def _content(content: object, place: str) -> tuple[str, str]:
    """The text of a content, and what its parts of the type 'thinking' hold."""
    if content is None:
        return "", ""
    if isinstance(content, str):
        return content, ""
    if not isinstance(content, list):
        raise DataError(f"the content of {place} must be text, not {describe(content)}")
    texts: list[str] = []
    thoughts: list[str] = []
    for part in content:
        kind = part.get("type") if isinstance(part, Mapping) else None
        if isinstance(kind, str) and kind not in (*_TEXT_PARTS, *REASONING):
            raise UnusableRow(f"a content part of the type {kind!r}, and only text is trained")
        key = kind if kind in REASONING else "text"
        text = part.get(key) if isinstance(part, Mapping) and kind else None
        if not isinstance(text, str):
            raise DataError(
                f'{place} has a content part other than {{"type": "text", "text": …}}: '
                f"{describe(part)}. Only text can be trained on"
            )
        (thoughts if kind in REASONING else texts).append(text)
    return "".join(texts), "".join(thoughts)


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
    key = "parameters" if function.get("arguments") is None else "arguments"  # as Llama 3 has it
    arguments = function.get(key)
    if isinstance(arguments, str):
        arguments = parsed_text(arguments or "{}", name=f"arguments of {name}")
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise DataError(
            f"the arguments of {name!r} in {place} must be an object, not {describe(arguments)}"
        )
    made: dict[str, Any] = {"type": "function", "function": {"name": name, "arguments": arguments}}
    call.get("type")  # 'function', as a call without that key is refused above
    if call.get("id") is not None:
        made["id"] = str(call["id"])
    return made


def _weigh(message: Message, raw: Mapping[str, Any], place: str) -> None:
    """Note how much an answer counts in the loss, and whether it is trained at all.

    Other messages are not trained, whether they say it or not. Where one wants to be, its `loss` or
    `weight` is not taken, so that the report has it.
    """
    if message["role"] != "assistant":
        take_untrained(raw)
        return
    trained = raw.get("loss") is None or flag(raw["loss"], name="loss")
    weight = raw.get("weight")
    if weight is None:
        weight = 1.0
    if not isinstance(weight, int | float) or not 0 <= weight < math.inf:
        raise DataError(f"the 'weight' of {place} must be 0 or more, not {describe(weight)}")
    if weight == 0 or not trained:
        message["loss"] = False
    elif weight != 1:
        message["weight"] = float(weight)
