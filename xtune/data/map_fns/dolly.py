"""Databricks' Dolly: an instruction, perhaps the text it is about, and a response."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.pair import pair
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["dolly_map_fn"]


@MAP_FNS.register_module("dolly")
def dolly_map_fn(row: dict[str, Any]) -> Conversation:
    r"""Read `instruction`, `context` (may be empty or null) and `response`.

    The request is the instruction, and on the next line the context.

    >>> dolly_map_fn({'instruction': 'Who won?', 'context': 'Ann beat Bob.', 'response': 'Ann.'})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'messages': [{'role': 'user', 'content': 'Who won?\nAnn beat Bob.'},
                  {'role': 'assistant', 'content': 'Ann.'}]}

    Raises:
        UnusableRow: nothing is asked, or the answer is empty.
        DataError: a field is missing or not text.
    """
    return pair(row, asked=("instruction", "context"), answer="response")
