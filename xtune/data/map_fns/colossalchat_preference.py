"""ColossalChat's data for reward models and DPO: what was said, and two ways to go on."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.colossalchat_sft import colossalchat_messages
from xtune.data.map_fns.preference import preference_of
from xtune.registry import MAP_FNS
from xtune.structures import Preference

__all__ = ["colossalchat_preference_map_fn"]


@MAP_FNS.register_module("colossalchat_preference")
def colossalchat_preference_map_fn(row: dict[str, Any]) -> Preference:
    """Read `context`, `chosen` and `rejected`: messages of {from, content}.

    >>> colossalchat_preference_map_fn({
    ...     'context': [{'from': 'human', 'content': 'Two and two?'}],
    ...     'chosen': [{'from': 'assistant', 'content': 'Four.'}],
    ...     'rejected': [{'from': 'assistant', 'content': 'Five.'}]})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'prompt': [{'role': 'user', 'content': 'Two and two?'}],
     'chosen': [{'role': 'assistant', 'content': 'Four.'}],
     'rejected': [{'role': 'assistant', 'content': 'Five.'}]}

    Raises:
        UnusableRow: an empty request or answer, or both answers are the same.
        DataError: a field is missing, or a message is not of this form.
    """
    parts = (colossalchat_messages(row, name) for name in ("context", "chosen", "rejected"))
    return preference_of(*parts)
