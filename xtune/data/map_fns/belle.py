"""BELLE's Chinese instructions, single turns and dialogues: BelleGroup."""

from __future__ import annotations

import re
from typing import Any

from xtune.data.map_fns.base import is_blank, text_field
from xtune.data.map_fns.dialogue import dialogue
from xtune.data.map_fns.marked import marked_turns
from xtune.data.map_fns.pair import pair
from xtune.data.map_fns.sharegpt import sharegpt_map_fn
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["belle_map_fn"]

_MARKER = re.compile(r"^[ \t]*(Human|Assistant)[:：]", re.MULTILINE)


@MAP_FNS.register_module("belle")
def belle_map_fn(row: dict[str, Any]) -> Conversation:
    r"""Read `instruction`, `input` (may be empty) and `output`; or `conversations`.

    In the multi-turn files the instruction is the dialogue so far, in which 'Human:' and
    'Assistant:' begin the turns; all its answers are trained. `conversations`, in the files of
    3.5 million, are read as `sharegpt` reads them.

    >>> belle_map_fn({'instruction': 'Human:你好\nAssistant:你好！\nHuman:再见\nAssistant:',
    ...     'input': '', 'output': '再见！'})['messages'] # doctest: +NORMALIZE_WHITESPACE
    [{'role': 'user', 'content': '你好'}, {'role': 'assistant', 'content': '你好！'},
     {'role': 'user', 'content': '再见'}, {'role': 'assistant', 'content': '再见！'}]

    Raises:
        UnusableRow: an empty turn, nothing is asked, or the output is empty.
        DataError: a field is missing or not text.
    """
    if "conversations" in row:
        return sharegpt_map_fn(row)
    asked, more = text_field(row, "instruction").strip(), text_field(row, "input")
    if not is_blank(more) or not _MARKER.match(asked):
        return pair(row, asked=("instruction", "input"), answer="output")
    turns = marked_turns(asked, _MARKER)
    if turns[-1]["role"] == "assistant" and not turns[-1]["content"]:
        turns.pop()  # the marker that the output comes after
    return dialogue([*turns, {"role": "assistant", "content": text_field(row, "output")}])
