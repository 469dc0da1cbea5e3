"""UltraChat: dialogues as lists of texts, or in messages."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.base import field
from xtune.data.map_fns.dialogue import dialogue
from xtune.data.map_fns.literal import held_list
from xtune.data.map_fns.openai import openai_map_fn
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["ultrachat_map_fn"]


@MAP_FNS.register_module("ultrachat")
def ultrachat_map_fn(row: dict[str, Any]) -> Conversation:
    """Read `data`, texts of user and assistant by turns; or `messages`, as `openai` does.

    stingning/ultrachat has the first form, HuggingFaceH4/ultrachat_200k the second.

    >>> ultrachat_map_fn({'id': '0', 'data': ['Hi', 'Hello!']}) # doctest: +NORMALIZE_WHITESPACE
    {'messages': [{'role': 'user', 'content': 'Hi'},
                  {'role': 'assistant', 'content': 'Hello!'}]}

    Raises:
        UnusableRow: an empty request or answer, or nothing to train on.
        DataError: both fields are missing, or hold something else.
    """
    if "data" not in row and "messages" in row:
        return openai_map_fn(row)
    said = held_list(field(row, "data"), name="data", of="texts")
    roles = ("user", "assistant")
    return dialogue(
        [{"role": roles[place % 2], "content": text} for place, text in enumerate(said)]
    )
