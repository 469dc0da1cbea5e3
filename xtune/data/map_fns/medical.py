"""Medical questions and answers, the SFT part of shibing624/medical."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.pair import pair
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["medical_map_fn"]


@MAP_FNS.register_module("medical")
def medical_map_fn(row: dict[str, Any]) -> Conversation:
    r"""Read `instruction`, `input` (may be empty or null) and `output`.

    >>> medical_map_fn({'instruction': '头痛怎么办？', 'input': '三天了', 'output': '先量体温。'})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'messages': [{'role': 'user', 'content': '头痛怎么办？\n三天了'},
                  {'role': 'assistant', 'content': '先量体温。'}]}

    Raises:
        UnusableRow: nothing is asked, or the answer is empty.
        DataError: a field is missing or not text.
    """
    return pair(row, asked=("instruction", "input"), answer="output")
