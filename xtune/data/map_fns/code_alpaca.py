"""Code Alpaca as HuggingFaceH4 publish it: a prompt and its completion."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.pair import pair
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["code_alpaca_map_fn"]


@MAP_FNS.register_module("code_alpaca")
def code_alpaca_map_fn(row: dict[str, Any]) -> Conversation:
    """Read `prompt` and `completion`.

    >>> code_alpaca_map_fn({'prompt': 'Print 1 in Python.', 'completion': 'print(1)'})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'messages': [{'role': 'user', 'content': 'Print 1 in Python.'},
                  {'role': 'assistant', 'content': 'print(1)'}]}

    Raises:
        UnusableRow: nothing is asked, or the answer is empty.
        DataError: a field is missing or not text.
    """
    return pair(row, asked="prompt", answer="completion")
