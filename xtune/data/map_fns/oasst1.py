"""Open Assistant's best dialogues as one text each: timdettmers/openassistant-guanaco."""

from __future__ import annotations

import re
from typing import Any

from xtune.data.map_fns.base import UnusableRow, is_blank, text_field
from xtune.data.map_fns.dialogue import dialogue
from xtune.data.map_fns.marked import marked_turns
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["oasst1_map_fn"]

_MARKER = re.compile(r"###\s*(Human|Assistant):")


@MAP_FNS.register_module("oasst1")
def oasst1_map_fn(row: dict[str, Any]) -> Conversation:
    """Read `text`, in which '### Human:' and '### Assistant:' begin the turns.

    A last turn that nobody answers is left out. Trees as Open Assistant publish them: `oasst_tree`.

    >>> oasst1_map_fn({'text': '### Human: Hi### Assistant: Hello!### Human: Bye'})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'messages': [{'role': 'user', 'content': 'Hi'},
                  {'role': 'assistant', 'content': 'Hello!'}]}

    Raises:
        UnusableRow: no text, an empty turn, or nothing to train on.
        DataError: there is no `text`, or it does not begin with a marker.
    """
    text = text_field(row, "text")
    if is_blank(text):
        raise UnusableRow("empty text")
    turns = marked_turns(text, _MARKER)
    if len(turns) > 1 and turns[-1]["role"] == "user":
        turns.pop()
    return dialogue(turns)
