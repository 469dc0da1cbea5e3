"""ToolBench: dialogues in which the model thinks, acts and is told results, as ToolLLaMA's."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.base import field
from xtune.data.map_fns.dialogue import dialogue
from xtune.data.map_fns.literal import held_list
from xtune.data.map_fns.speakers import SPEAKERS, spoken
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["toolbench_map_fn"]

_SPEAKERS = {**SPEAKERS, "function": "tool"}


@MAP_FNS.register_module("toolbench")
def toolbench_map_fn(row: dict[str, Any]) -> Conversation:
    r"""Read `conversations` of {from, value}, from system, user, assistant and function.

    The tools stand in the system text, a call in the answer's text ('Thought: ... Action: ...
    Action Input: ...'), and both stay there: so the model learns to write what ToolLLaMA writes.
    What a function returns is shown and not trained.

    >>> toolbench_map_fn({'conversations': [
    ...     {'from': 'user', 'value': 'Time in Rome?'},
    ...     {'from': 'assistant', 'value': 'Thought: look\nAction: clock\nAction Input: {}'},
    ...     {'from': 'function', 'value': '{"response": "12:00"}'},
    ...     {'from': 'assistant', 'value': 'Thought: done\nAction: Finish\nAction Input: {}'}]
    ...     })['messages'][2]
    {'role': 'tool', 'content': '{"response": "12:00"}'}

    Raises:
        UnusableRow: an empty request or answer, or nothing to train on.
        DataError: `conversations` is missing, or an element is not of this form.
    """
    said = held_list(field(row, "conversations"), name="conversations")
    return dialogue(
        [
            spoken(one, f"conversation element {number}", speakers=_SPEAKERS)
            for number, one in enumerate(said, start=1)
        ]
    )
