"""WizardLM's evolved instructions: WizardLM_evol_instruct_V2_196k."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.base import field
from xtune.data.map_fns.dialogue import dialogue
from xtune.data.map_fns.literal import held_list
from xtune.data.map_fns.speakers import spoken
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["wizardlm_map_fn"]


@MAP_FNS.register_module("wizardlm")
def wizardlm_map_fn(row: dict[str, Any]) -> Conversation:
    r"""Read `conversations` of {from, value}, from human and gpt.

    As `sharegpt`, but requests that follow each other become one, each on a line of its own.

    >>> wizardlm_map_fn({'conversations': [
    ...     {'from': 'human', 'value': 'Two and two?'}, {'from': 'human', 'value': 'In Roman.'},
    ...     {'from': 'gpt', 'value': 'IV'}]})['messages'] # doctest: +NORMALIZE_WHITESPACE
    [{'role': 'user', 'content': 'Two and two?\nIn Roman.'},
     {'role': 'assistant', 'content': 'IV'}]

    Raises:
        UnusableRow: an empty request or answer, or nothing to train on.
        DataError: `conversations` is missing, or an element is not of this form.
    """
    said = held_list(field(row, "conversations"), name="conversations")
    messages: list[dict[str, Any]] = []
    for number, one in enumerate(said, start=1):
        message = spoken(one, f"conversation element {number}")
        before = messages[-1] if messages else {"role": ""}
        if message["role"] == before["role"] == "user" and _are_text(message, before):
            before["content"] += "\n" + message["content"]
        else:
            messages.append(message)
    return dialogue(messages)


def _are_text(*messages: dict[str, Any]) -> bool:
    return all(isinstance(message["content"], str) for message in messages)
