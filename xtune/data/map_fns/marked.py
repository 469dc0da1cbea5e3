"""Dialogues written as one text, in which a marker such as 'Human:' begins each turn."""

from __future__ import annotations

import re
from typing import Any

from xtune.data.map_fns.base import describe, is_blank
from xtune.errors import DataError

__all__ = ["marked_turns"]

_ROLES = {
    "Human": "user",
    "Hum": "user",  # as some rows of Anthropic's have it, cut off
    "User": "user",
    "prompter": "user",
    "Assistant": "assistant",
    "assistant": "assistant",
    "System": "system",
}


def marked_turns(text: str, marker: re.Pattern[str]) -> list[dict[str, Any]]:
    r"""Return the turns of a text as messages; white space around a turn is no part of it.

    >>> marked_turns('Human: Hi\nAssistant: Hello!', re.compile(r'^(Human|Assistant):', re.M))
    [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Hello!'}]

    Args:
        text: the dialogue.
        marker: finds where a turn begins; its group 1 is the speaker.

    Raises:
        DataError: there is text before the first marker, or no marker at all.
    """
    before, *parts = marker.split(text)
    if not is_blank(before):
        raise DataError(
            f"the dialogue begins with no marker of the form {marker.pattern!r}: {describe(text)}"
        )
    return [
        {"role": _ROLES[speaker], "content": said.strip()}
        for speaker, said in zip(parts[::2], parts[1::2], strict=True)
    ]
