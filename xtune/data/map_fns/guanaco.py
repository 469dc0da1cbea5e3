"""Guanaco: Alpaca's fields, with the dialogue so far in the instruction."""

from __future__ import annotations

import re
from typing import Any

from xtune.data.map_fns.base import text_field
from xtune.data.map_fns.dialogue import dialogue
from xtune.data.map_fns.marked import marked_turns
from xtune.data.map_fns.pair import pair
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["guanaco_map_fn"]

_MARKER = re.compile(r"^[ \t]*(User|Assistant|System):", re.MULTILINE)


@MAP_FNS.register_module("guanaco")
def guanaco_map_fn(row: dict[str, Any]) -> Conversation:
    r"""Read `instruction` (the dialogue so far), `input` (the request, may be empty) and `output`.

    In a chat row 'User:', 'Assistant:' and 'System:' begin the turns of the instruction and of
    the input; the answers in it are context, already learnt from another row, and not trained.
    A row whose instruction has no such marker is read as `alpaca` reads it.

    >>> guanaco_map_fn({'instruction': 'User: Hi\nAssistant: Hello!',
    ...     'input': 'System: It is noon.\nUser: What time is it?', 'output': 'Noon.'})['messages']
    ... # doctest: +NORMALIZE_WHITESPACE
    [{'role': 'user', 'content': 'Hi'},
     {'role': 'assistant', 'content': 'Hello!', 'loss': False},
     {'role': 'system', 'content': 'It is noon.'},
     {'role': 'user', 'content': 'What time is it?'},
     {'role': 'assistant', 'content': 'Noon.'}]

    Raises:
        UnusableRow: an empty turn, nothing is asked, or the output is empty.
        DataError: a field is missing or not text.
    """
    history, request = text_field(row, "instruction"), text_field(row, "input")
    if not _MARKER.match(history.lstrip()) and not _MARKER.match(request.lstrip()):
        return pair(row, asked=("instruction", "input"), answer="output")
    turns = _turns(history) + _turns(request)
    for turn in turns:
        turn["loss"] = False
    return dialogue([*turns, {"role": "assistant", "content": text_field(row, "output")}])


def _turns(text: str) -> list[dict[str, Any]]:
    """The turns of a marked text; an unmarked one is a request as a whole."""
    text = text.strip()
    if not text:
        return []
    if not _MARKER.match(text):
        return [{"role": "user", "content": text}]
    return [turn for turn in marked_turns(text, _MARKER) if turn["content"]]
