"""Prompts for the model to answer itself, as TRL's and most others' data for RL have them."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.base import UnusableRow, describe, field
from xtune.data.map_fns.dialogue import checked_messages
from xtune.data.map_fns.literal import messages_or_text
from xtune.data.map_fns.tools import tools_of
from xtune.errors import DataError
from xtune.registry import MAP_FNS
from xtune.structures import Prompt

__all__ = ["prompt_map_fn"]


@MAP_FNS.register_module("prompt")
def prompt_map_fn(row: dict[str, Any]) -> Prompt:
    """Read `prompt`: a text, or messages of {role, content}; and `tools` (optional).

    An answer at the end of the messages is left out. What else a row has is for the rewards.

    >>> prompt_map_fn({'prompt': 'Two and two?'})
    {'prompt': [{'role': 'user', 'content': 'Two and two?'}]}

    Raises:
        UnusableRow: nothing is asked, or an empty message.
        DataError: `prompt` is missing, or a message is not of this form.
    """
    said = messages_or_text(field(row, "prompt"), name="prompt")
    if isinstance(said, str):
        said = [{"role": "user", "content": said}]
    if not isinstance(said, list):
        raise DataError(f"'prompt' must be a text or a list of messages, not {describe(said)}")
    messages = checked_messages(said, of=" of the prompt")
    while messages and messages[-1]["role"] == "assistant":
        messages.pop()
    if not messages:
        raise UnusableRow("empty request")
    made: Prompt = {"prompt": messages}
    if tools := tools_of(row.get("tools")):
        made["tools"] = tools
    return made
