"""MetaMathQA: questions of mathematics said anew in many ways, with worked answers: meta-math."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.pair import pair
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["metamath_map_fn"]


@MAP_FNS.register_module("metamath")
def metamath_map_fn(row: dict[str, Any]) -> Conversation:
    r"""Read `query` and `response`.

    The response stays as it is published; its last line is 'The answer is: ...'.

    >>> metamath_map_fn({'query': 'What is 2 + 2?', 'response': '2 + 2 = 4.\nThe answer is: 4'}
    ...     )['messages'][1]['content']
    '2 + 2 = 4.\nThe answer is: 4'

    Raises:
        UnusableRow: nothing is asked, or the answer is empty.
        DataError: a field is missing or not text.
    """
    return pair(row, asked="query", answer="response")
