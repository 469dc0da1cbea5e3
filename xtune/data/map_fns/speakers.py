"""Messages that name a speaker instead of a role: {from: human, value: ...} and its relatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xtune.data.map_fns.base import describe, field
from xtune.data.map_fns.dialogue import REASONING, take_untrained
from xtune.errors import DataError, did_you_mean

__all__ = ["SPEAKERS", "spoken"]

SPEAKERS: Mapping[str, str] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "chatgpt": "assistant",  # as raw ShareGPT names those who answered
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "ai": "assistant",
    "developer": "system",
}
# What `dialogue` reads besides a text, of whom
_MORE: Mapping[str, tuple[str, ...]] = {
    "assistant": ("loss", "weight", "tool_calls", "function_call", *REASONING),
    "tool": ("tool_call_id", "name"),
}


def spoken(
    said: object,
    place: str,
    *,
    speakers: Mapping[str, str] = SPEAKERS,
    by: str = "from",
    text: str = "value",
) -> dict[str, Any]:
    """Make one utterance a message for `dialogue`.

    >>> spoken({'from': 'human', 'value': 'Hi'}, 'element 1')
    {'role': 'user', 'content': 'Hi'}

    Args:
        said: an object with a speaker and a text, and perhaps more that `dialogue` reads.
        place: where it stands, for messages.
        speakers: the role of each speaker who may appear.
        by: the key of the speaker.
        text: the key of the text.

    Raises:
        DataError: it is no such object, or the speaker is unknown.
    """
    if not isinstance(said, Mapping):
        raise DataError(f"{place} must be an object with {by} and {text}, not {describe(said)}")
    speaker = field(said, by, of=place)
    field(said, text, of=place)
    if not isinstance(speaker, str) or speaker not in speakers:
        near = did_you_mean(speaker, speakers) if isinstance(speaker, str) else ""
        raise DataError(f"{place} is from {speaker!r}{near or ';'} allowed: {', '.join(speakers)}")
    role = speakers[speaker]
    message = {"role": role, "content": said[text]}
    message |= {key: said[key] for key in _MORE.get(role, ()) if key in said}
    if role != "assistant":
        take_untrained(said)
    return message
