"""Questions of law whose answers quote the articles they rest on."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.pair import pair
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["law_reference_map_fn"]


@MAP_FNS.register_module("law_reference")
def law_reference_map_fn(row: dict[str, Any]) -> Conversation:
    """Read `question` and `answer`.

    Lists of articles (`reference`), where the file has them, are not read.

    >>> law_reference_map_fn({'question': '工伤怎么赔偿？', 'answer': '依据《工伤保险条例》。'})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'messages': [{'role': 'user', 'content': '工伤怎么赔偿？'},
                  {'role': 'assistant', 'content': '依据《工伤保险条例》。'}]}

    Raises:
        UnusableRow: nothing is asked, or the answer is empty.
        DataError: a field is missing or not text.
    """
    return pair(row, asked="question", answer="answer")
