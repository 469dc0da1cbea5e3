"""The plainest pairs: an input and an output."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.pair import pair
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["default_map_fn"]


@MAP_FNS.register_module("default")
def default_map_fn(row: dict[str, Any]) -> Conversation:
    """Read `input` and `output`.

    >>> default_map_fn({'input': 'Two and two?', 'output': 'Four.'})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'messages': [{'role': 'user', 'content': 'Two and two?'},
                  {'role': 'assistant', 'content': 'Four.'}]}

    Raises:
        UnusableRow: nothing is asked, or the answer is empty.
        DataError: a field is missing or not text.
    """
    return pair(row, asked="input", answer="output")
