"""Tiny Codes: short programs with what asks for them."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.pair import pair
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["tiny_codes_map_fn"]


@MAP_FNS.register_module("tiny_codes")
def tiny_codes_map_fn(row: dict[str, Any]) -> Conversation:
    """Read `prompt` and `response`.

    >>> tiny_codes_map_fn({'prompt': 'Say hello in Lua.', 'response': 'print("hello")'})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'messages': [{'role': 'user', 'content': 'Say hello in Lua.'},
                  {'role': 'assistant', 'content': 'print("hello")'}]}

    Raises:
        UnusableRow: nothing is asked, or the answer is empty.
        DataError: a field is missing or not text.
    """
    return pair(row, asked="prompt", answer="response")
