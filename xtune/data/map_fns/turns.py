"""XTuner's own format: a conversation of turns, each a system, an input and an output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xtune.data.map_fns.base import describe, field, text_field
from xtune.data.map_fns.dialogue import dialogue
from xtune.data.map_fns.literal import literal_list
from xtune.errors import DataError
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["turns_map_fn"]


@MAP_FNS.register_module("turns")
def turns_map_fn(row: dict[str, Any]) -> Conversation:
    """Read `conversation`: turns of input, output and optional system, output_with_loss.

    A turn's system comes before its input, also in the middle of a dialogue, where XTuner's
    agent data put a tool's result; such a turn may have an empty input.

    >>> turns_map_fn({'conversation': [
    ...     {'system': 'Be brief.', 'input': 'Hi', 'output': 'Hello!'},
    ...     {'input': 'Bye', 'output': 'Bye!', 'output_with_loss': False}]})['messages'][2:]
    ... # doctest: +NORMALIZE_WHITESPACE
    [{'role': 'assistant', 'content': 'Hello!'}, {'role': 'user', 'content': 'Bye'},
     {'role': 'assistant', 'content': 'Bye!', 'loss': False}]

    Raises:
        UnusableRow: an empty input without a system text, an empty output, or nothing to train on.
        DataError: `conversation`, or a turn's input or output, is missing or of another type.
    """
    turns = literal_list(field(row, "conversation"), name="conversation")
    messages: list[dict[str, Any]] = []
    for number, turn in enumerate(turns, start=1):
        messages += _messages(turn, f"turn {number}")
    return dialogue(messages)


def _messages(turn: object, place: str) -> list[dict[str, Any]]:
    if not isinstance(turn, Mapping):
        raise DataError(f"{place} must be an object with input and output, not {describe(turn)}")
    system = text_field(turn, "system", of=place) if "system" in turn else ""
    asked = text_field(turn, "input", of=place)
    answer = text_field(turn, "output", of=place)
    made: list[dict[str, Any]] = []
    if system:
        made.append({"role": "system", "content": system})
    if asked or not system:
        made.append({"role": "user", "content": asked})
    made.append({"role": "assistant", "content": answer, "loss": turn.get("output_with_loss")})
    return made
