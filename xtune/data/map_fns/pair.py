"""A request and its answer, each a field of the row: what most instruction data are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xtune.data.map_fns.base import UnusableRow, describe, is_blank, text_field
from xtune.data.map_fns.literal import held
from xtune.errors import DataError
from xtune.structures import Conversation, Message

__all__ = ["exchange", "exchanges", "pair"]


def pair(
    row: Mapping[str, Any], *, asked: str | tuple[str, ...], answer: str, system: str = ""
) -> Conversation:
    """Make a dialogue of one turn from the fields named.

    Args:
        row: the raw row.
        asked: the field of the request; of several those that hold something are joined, each
            on a line of its own.
        answer: the field of the answer.
        system: the field of the system text, if the format has one.

    Raises:
        UnusableRow: nothing is asked, or nothing answered.
        DataError: a field is missing or not text.
    """
    parts = [text_field(row, name) for name in ((asked,) if isinstance(asked, str) else asked)]
    request = "\n".join(part for part in parts if not is_blank(part))
    said = text_field(row, system) if system else ""
    return exchange(request, text_field(row, answer), system=said)


def exchange(request: str, answer: str, *, system: str = "") -> Conversation:
    """Make a dialogue of one turn; a blank `system` is left out.

    Args:
        request: the user's.
        answer: the assistant's.
        system: goes before both.

    Raises:
        UnusableRow: the request or the answer is blank.
    """
    if is_blank(answer):
        raise UnusableRow("empty answer")
    if is_blank(request):
        raise UnusableRow("empty request")
    messages: list[Message] = [
        {"role": "user", "content": request},
        {"role": "assistant", "content": answer},
    ]
    if not is_blank(system):
        messages.insert(0, {"role": "system", "content": system})
    return {"messages": messages}


def exchanges(turns: object, *, of: str, asked: str, answer: str) -> list[dict[str, Any]]:
    """Return the messages of turns that hold a request and an answer, for `dialogue`.

    Args:
        turns: a list of objects.
        of: the field that holds it, for messages.
        asked: the request's key in each.
        answer: the answer's key.

    Raises:
        DataError: it is no list, or a turn lacks a key or holds something else than text.
    """
    turns = held(turns, name=of)
    if not isinstance(turns, list):
        raise DataError(f"field {of!r} must be a list of turns, not {describe(turns)}")
    messages: list[dict[str, Any]] = []
    for number, turn in enumerate(turns, start=1):
        place = f"turn {number}"
        if not isinstance(turn, Mapping):
            raise DataError(
                f"{place} must be an object with {asked} and {answer}, not {describe(turn)}"
            )
        messages += [
            {"role": "user", "content": text_field(turn, asked, of=place)},
            {"role": "assistant", "content": text_field(turn, answer, of=place)},
        ]
    return messages
