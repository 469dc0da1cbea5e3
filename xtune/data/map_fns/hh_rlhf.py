"""Anthropic's helpful and harmless dialogues: two texts that part at some answer."""

from __future__ import annotations

import re
from typing import Any

from xtune.data.map_fns.base import UnusableRow, is_blank, text_field
from xtune.data.map_fns.marked import marked_turns
from xtune.data.map_fns.preference import split_pair
from xtune.errors import DataError
from xtune.registry import MAP_FNS
from xtune.structures import Preference

__all__ = ["hh_rlhf_map_fn"]

_MARKER = re.compile(r"(?:\A\s*|\n\n)(Human|Hum|Assistant):")  # a blank line before each


@MAP_FNS.register_module("hh_rlhf")
def hh_rlhf_map_fn(row: dict[str, Any]) -> Preference:
    r"""Read `chosen` and `rejected`, texts in which '\n\nHuman:' and '\n\nAssistant:' begin turns.

    The turns that both begin with are the prompt. Some rows have '\n\nHum:' for the first of them.
    The part red-team-attempts has single dialogues and no pairs.

    >>> hh_rlhf_map_fn({'chosen': '\n\nHuman: Two and two?\n\nAssistant: Four.',
    ...     'rejected': '\n\nHuman: Two and two?\n\nAssistant: Five.'})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'prompt': [{'role': 'user', 'content': 'Two and two?'}],
     'chosen': [{'role': 'assistant', 'content': 'Four.'}],
     'rejected': [{'role': 'assistant', 'content': 'Five.'}]}

    Raises:
        UnusableRow: an empty turn, a text that ends with a request, or both texts are the same.
        DataError: a field is missing, or does not begin with a marker.
    """
    dialogues = []
    if "transcript" in row and "chosen" not in row:
        raise DataError(
            "the row has no field 'chosen': it is of red-team-attempts, dialogues without pairs. "
            "Name the folder of another part: data_path=dict(type='hub', path='Anthropic/hh-rlhf', "
            "data_dir='helpful-base')"
        )
    for name in ("chosen", "rejected"):
        text = text_field(row, name)
        if is_blank(text):
            raise UnusableRow("empty text")
        turns = marked_turns(text, _MARKER)
        if turns[-1]["role"] == "user":
            raise UnusableRow("the text ends with a request")
        dialogues.append(turns)
    return split_pair(*dialogues)
