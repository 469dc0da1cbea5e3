"""GSM8K: a question of arithmetic, and an answer worked out step by step."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.pair import pair
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["gsm8k_map_fn"]


@MAP_FNS.register_module("gsm8k")
def gsm8k_map_fn(row: dict[str, Any]) -> Conversation:
    r"""Read `question` and `answer`.

    The answer stays as it is published, with the results of its sums in `<<2+2=4>>` and, on the
    last line, the number after `#### ` that evaluations look for.

    >>> gsm8k_map_fn({'question': 'Two hens lay two eggs each. How many?',
    ...     'answer': '2 * 2 = <<2*2=4>>4 eggs\n#### 4'})['messages'][1]['content']
    '2 * 2 = <<2*2=4>>4 eggs\n#### 4'

    Raises:
        UnusableRow: nothing is asked, or the answer is empty.
        DataError: a field is missing or not text.
    """
    return pair(row, asked="question", answer="answer")
