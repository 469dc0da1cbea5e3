"""OpenOrca: a question with the system text that it was asked under."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.pair import pair
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["openorca_map_fn"]


@MAP_FNS.register_module("openorca")
def openorca_map_fn(row: dict[str, Any]) -> Conversation:
    """Read `system_prompt` (may be empty or null), `question` and `response`.

    >>> openorca_map_fn({'system_prompt': 'Be brief.', 'question': 'Two and two?',
    ...     'response': 'Four.'})['messages'] # doctest: +NORMALIZE_WHITESPACE
    [{'role': 'system', 'content': 'Be brief.'},
     {'role': 'user', 'content': 'Two and two?'},
     {'role': 'assistant', 'content': 'Four.'}]

    Raises:
        UnusableRow: nothing is asked, or the answer is empty.
        DataError: a field is missing or not text.
    """
    return pair(row, asked="question", answer="response", system="system_prompt")
