"""ColossalChat's data for supervised fine-tuning: messages of {from, content}."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.base import describe, field
from xtune.data.map_fns.dialogue import dialogue
from xtune.data.map_fns.literal import held
from xtune.data.map_fns.speakers import spoken
from xtune.errors import DataError
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["colossalchat_messages", "colossalchat_sft_map_fn"]


@MAP_FNS.register_module("colossalchat_sft")
def colossalchat_sft_map_fn(row: dict[str, Any]) -> Conversation:
    """Read `messages` of {from, content}; `from` is user or human, or assistant.

    >>> colossalchat_sft_map_fn({'messages': [
    ...     {'from': 'human', 'content': 'Hi'}, {'from': 'assistant', 'content': 'Hello!'}]})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'messages': [{'role': 'user', 'content': 'Hi'},
                  {'role': 'assistant', 'content': 'Hello!'}]}

    Raises:
        UnusableRow: an empty request or answer, or nothing to train on.
        DataError: `messages` is missing, or a message is not of this form.
    """
    return dialogue(colossalchat_messages(row, "messages"))


def colossalchat_messages(row: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the messages in `row[name]`, one or a list, in the form that `dialogue` takes.

    Args:
        row: as it was read.
        name: of the field.

    Raises:
        DataError: there is no such field, or a message is not of this form.
    """
    said = held(field(row, name), name=name)
    if isinstance(said, dict):
        said = [said]
    if not isinstance(said, list):
        raise DataError(f"field {name!r} must be a list of messages, not {describe(said)}")
    return [
        spoken(one, f"message {number} of {name!r}", text="content")
        for number, one in enumerate(said, start=1)
    ]
