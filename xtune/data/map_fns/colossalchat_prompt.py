"""ColossalChat's data for PPO: what was said, for the model to answer."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.base import UnusableRow
from xtune.data.map_fns.colossalchat_sft import colossalchat_messages
from xtune.data.map_fns.dialogue import checked_messages
from xtune.registry import MAP_FNS
from xtune.structures import Prompt

__all__ = ["colossalchat_prompt_map_fn"]


@MAP_FNS.register_module("colossalchat_prompt")
def colossalchat_prompt_map_fn(row: dict[str, Any]) -> Prompt:
    """Read `messages` of {from, content}; an answer at their end is left out.

    >>> colossalchat_prompt_map_fn({'messages': [{'from': 'user', 'content': 'Two and two?'}]})
    {'prompt': [{'role': 'user', 'content': 'Two and two?'}]}

    Raises:
        UnusableRow: an empty message, or nothing is asked.
        DataError: `messages` is missing, or a message is not of this form.
    """
    messages = checked_messages(colossalchat_messages(row, "messages"))
    while messages and messages[-1]["role"] == "assistant":
        messages.pop()
    if not messages:
        raise UnusableRow("empty request")
    return {"prompt": messages}
