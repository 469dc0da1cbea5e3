"""Messages that name a speaker instead of a role: {from: human, value: ...} and its relatives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xtune.data.map_fns.base import describe, field
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
    {'role': 'user', 'content': 'Hi', 'loss': None}

    Args:
        said: an object with a speaker and a text, and perhaps a `loss`.
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
    return {"role": speakers[speaker], "content": said[text], "loss": said.get("loss")}
