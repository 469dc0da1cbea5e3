"""OpenAI's chat format: messages with roles, tools and tool calls."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.base import field
from xtune.data.map_fns.dialogue import dialogue
from xtune.data.map_fns.literal import literal_list
from xtune.data.map_fns.takes import takes
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["openai_map_fn"]


@MAP_FNS.register_module("openai")
@takes(messages="role content", also="tools functions")
def openai_map_fn(row: dict[str, Any]) -> Conversation:
    """Read `messages` (role, content, tool_calls, tool_call_id, name, loss, weight) and `tools`.

    `loss` on an assistant message is a boolean, or XTuner's "True" and "False"; false shows the
    answer to the model without training on it. `weight` is the factor of its tokens in the loss, 1
    if left out. What is allowed in a message: `dialogue`.

    >>> openai_map_fn({'messages': [
    ...     {'role': 'user', 'content': 'Hi'},
    ...     {'role': 'assistant', 'content': 'Hello!', 'loss': 'False'},
    ...     {'role': 'user', 'content': [{'type': 'text', 'text': 'Two and two?'}]},
    ...     {'role': 'assistant', 'content': 'Four.'}]})['messages'][1:3]
    ... # doctest: +NORMALIZE_WHITESPACE
    [{'role': 'assistant', 'content': 'Hello!', 'loss': False},
     {'role': 'user', 'content': 'Two and two?'}]

    Raises:
        UnusableRow: an empty request or answer, or nothing to train on.
        DataError: `messages` is missing, or a message is not of this form.
    """
    messages = literal_list(field(row, "messages"), name="messages")
    return dialogue(messages, row.get("tools"), row.get("functions"))
