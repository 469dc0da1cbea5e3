"""TRL's prompt-completion rows: each of the two a text, or messages of {role, content}."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.base import describe, field
from xtune.data.map_fns.dialogue import checked_messages, dialogue
from xtune.data.map_fns.literal import messages_or_text
from xtune.data.map_fns.pair import pair
from xtune.errors import DataError
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["prompt_completion_map_fn"]


@MAP_FNS.register_module("prompt_completion")
def prompt_completion_map_fn(row: dict[str, Any]) -> Conversation:
    """Read `prompt` and `completion`, and next to messages `tools`; what completes is trained.

    >>> prompt_completion_map_fn({
    ...     'prompt': [{'role': 'user', 'content': 'Hi'}, {'role': 'assistant', 'content': 'Ho'},
    ...                {'role': 'user', 'content': 'Sky?'}],
    ...     'completion': [{'role': 'assistant', 'content': 'Blue.'}]})['messages'][1:]
    ... # doctest: +NORMALIZE_WHITESPACE
    [{'role': 'assistant', 'content': 'Ho', 'loss': False}, {'role': 'user', 'content': 'Sky?'},
     {'role': 'assistant', 'content': 'Blue.'}]

    Raises:
        UnusableRow: an empty request or answer, or no answer in the completion.
        DataError: a field is missing, or the two are not of one form.
    """
    prompt, completion = (
        messages_or_text(field(row, name), name=name) for name in ("prompt", "completion")
    )
    if not isinstance(prompt, list) and not isinstance(completion, list):
        return pair(row, asked="prompt", answer="completion")
    if not isinstance(prompt, list) or not isinstance(completion, list):
        raise DataError(
            f"'prompt' and 'completion' must be texts or messages both, not {describe(prompt)} and "
            f"{describe(completion)}"
        )
    shown = checked_messages(prompt, of=" of the prompt")
    for message in shown:
        if message["role"] == "assistant":
            message["loss"] = False
    return dialogue([*shown, *completion], row.get("tools"))
