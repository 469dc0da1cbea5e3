"""Stanford Alpaca's format: an instruction, perhaps an input, and an output."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.base import UnusableRow, is_blank, text_field
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["alpaca_map_fn"]

_NO_OUTPUT = "<nooutput>"  # what Alpaca's own file has where its generator gave up


@MAP_FNS.register_module("alpaca")
def alpaca_map_fn(row: dict[str, Any]) -> Conversation:
    r"""Read `instruction`, `input` (empty or null if there is none) and `output`.

    The request is the instruction, and on the next line the input.

    >>> alpaca_map_fn({'instruction': 'Add.', 'input': '2 and 2', 'output': '4'})['messages']
    [{'role': 'user', 'content': 'Add.\n2 and 2'}, {'role': 'assistant', 'content': '4'}]

    Raises:
        UnusableRow: the output is empty, null or '<nooutput>', or nothing is asked.
        DataError: one of the three fields is missing or not text.
    """
    asked = [text_field(row, "instruction"), text_field(row, "input")]
    answer = text_field(row, "output")
    if is_blank(answer) or answer.strip() == _NO_OUTPUT:
        raise UnusableRow("empty answer")
    request = "\n".join(part for part in asked if not is_blank(part))
    if not request:
        raise UnusableRow("empty request")
    return {
        "messages": [
            {"role": "user", "content": request},
            {"role": "assistant", "content": answer},
        ]
    }
