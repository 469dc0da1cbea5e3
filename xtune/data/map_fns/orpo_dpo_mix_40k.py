"""mlabonne's mix of preference data: two whole dialogues that differ in the last answer."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.base import field
from xtune.data.map_fns.literal import held_list
from xtune.data.map_fns.preference import split_pair
from xtune.registry import MAP_FNS
from xtune.structures import Preference

__all__ = ["orpo_dpo_mix_40k_map_fn"]


@MAP_FNS.register_module("orpo_dpo_mix_40k")
def orpo_dpo_mix_40k_map_fn(row: dict[str, Any]) -> Preference:
    """Read `chosen` and `rejected`: messages of {role, content}, the prompt among them.

    The messages that both begin with are the prompt; the row's `prompt`, a text, is not read.

    >>> orpo_dpo_mix_40k_map_fn({
    ...     'chosen': [{'role': 'user', 'content': 'Two and two?'},
    ...                {'role': 'assistant', 'content': 'Four.'}],
    ...     'rejected': [{'role': 'user', 'content': 'Two and two?'},
    ...                  {'role': 'assistant', 'content': 'Five.'}]})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'prompt': [{'role': 'user', 'content': 'Two and two?'}],
     'chosen': [{'role': 'assistant', 'content': 'Four.'}],
     'rejected': [{'role': 'assistant', 'content': 'Five.'}]}

    Raises:
        UnusableRow: an empty message, nothing in common, or both answers are the same.
        DataError: a field is missing, or not messages.
    """
    chosen, rejected = (
        held_list(field(row, name), name=name, of="messages") for name in ("chosen", "rejected")
    )
    return split_pair(chosen, rejected)
