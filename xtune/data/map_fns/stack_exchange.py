"""Stack Exchange questions with the answer that was accepted."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.pair import pair
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["stack_exchange_map_fn"]


@MAP_FNS.register_module("stack_exchange")
def stack_exchange_map_fn(row: dict[str, Any]) -> Conversation:
    """Read `question` and `response`.

    >>> stack_exchange_map_fn({'question': 'How do I exit vim?', 'response': 'Type :q'})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'messages': [{'role': 'user', 'content': 'How do I exit vim?'},
                  {'role': 'assistant', 'content': 'Type :q'}]}

    Raises:
        UnusableRow: nothing is asked, or the answer is empty.
        DataError: a field is missing or not text.
    """
    return pair(row, asked="question", answer="response")
