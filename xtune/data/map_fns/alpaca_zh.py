"""The Chinese Alpaca of silk-road: Alpaca's fields, each with `_zh` at its end."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.pair import pair
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["alpaca_zh_map_fn"]


@MAP_FNS.register_module("alpaca_zh")
def alpaca_zh_map_fn(row: dict[str, Any]) -> Conversation:
    r"""Read `instruction_zh`, `input_zh` (may be empty or null) and `output_zh`.

    The row's English fields of the same names without `_zh` are not read.

    >>> alpaca_zh_map_fn({'instruction_zh': '翻译。', 'input_zh': '你好', 'output_zh': 'Hello'})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'messages': [{'role': 'user', 'content': '翻译。\n你好'},
                  {'role': 'assistant', 'content': 'Hello'}]}

    Raises:
        UnusableRow: nothing is asked, or the answer is empty.
        DataError: a field is missing or not text.
    """
    return pair(row, asked=("instruction_zh", "input_zh"), answer="output_zh")
