"""Questions of criminal law with answers, from CrimeKgAssitant (its own spelling)."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.pair import pair
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["crime_kg_assitant_map_fn"]


@MAP_FNS.register_module("crime_kg_assitant")
def crime_kg_assitant_map_fn(row: dict[str, Any]) -> Conversation:
    """Read `input` and `output`.

    >>> crime_kg_assitant_map_fn({'input': '酒驾会怎样？', 'output': '会被吊销驾照。'})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'messages': [{'role': 'user', 'content': '酒驾会怎样？'},
                  {'role': 'assistant', 'content': '会被吊销驾照。'}]}

    Raises:
        UnusableRow: nothing is asked, or the answer is empty.
        DataError: a field is missing or not text.
    """
    return pair(row, asked="input", answer="output")
