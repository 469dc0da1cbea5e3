"""The system text that a chat template writes of its own accord, and what an empty one means there.

    messages  user: 2 + 2?                              Qwen2.5 writes 'You are Qwen, created by …'
              system: ''   user: 2 + 2?                 an empty system turn: nobody's text

So an empty system message says something only where a template has a text of its own; it is handed
to such a template, and left out for all others, some of which refuse the role.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from xtune.errors import DataError
from xtune.structures import Message

__all__ = ["default_system_of", "is_empty_system", "without_empty_system"]

_ASKED, _GIVEN = "xtune's question", "xtune_probe_system"

_Render = Callable[[Sequence[Message], Sequence[dict[str, Any]] | None], str]


def default_system_of(render: _Render) -> str:
    """Return the system text that a template writes where a dialogue has none; '' if none.

    Args:
        render: messages and tools to text; raises DataError where the template refuses them.
    """
    asked: Message = {"role": "user", "content": _ASKED}
    system: Message = {"role": "system", "content": _GIVEN}
    try:
        without = render([asked], None).partition(_ASKED)[0]
        given, found, _ = render([system, asked], None).partition(_ASKED)
    except DataError:
        return ""
    before, written, after = given.partition(_GIVEN)
    whole = found and written and len(without) >= len(before) + len(after)
    if not whole or not without.startswith(before) or not without.endswith(after):
        return ""
    text = without[len(before) : len(without) - len(after)].strip()
    return text if re.search(r"\w{3}", text) else ""


def is_empty_system(message: Message) -> bool:
    """Whether a message is a system message without text."""
    return message["role"] == "system" and not message.get("content")


def without_empty_system(
    messages: Sequence[Message], default_system: Callable[[], str]
) -> Sequence[Message]:
    """Return a dialogue without empty system messages, but for a first one that says something.

    Args:
        messages: the dialogue.
        default_system: called if it matters: the text that the template writes of its own accord.
    """
    if not any(map(is_empty_system, messages)):
        return messages
    first = messages[:1] if is_empty_system(messages[0]) and default_system() else []
    return [*first, *(m for m in messages if not is_empty_system(m))]
