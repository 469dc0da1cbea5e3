"""Stanford Alpaca's format: an instruction, perhaps an input, and an output."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.base import UnusableRow
from xtune.data.map_fns.pair import pair
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
    made = pair(row, asked=("instruction", "input"), answer="output")
    if made["messages"][-1]["content"].strip() == _NO_OUTPUT:
        raise UnusableRow("empty answer")
    return made
