"""mlabonne's mix of preference data: two whole dialogues that differ in the last answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xtune.data.map_fns.base import UnusableRow
from xtune.data.map_fns.judgement import with_source
from xtune.data.map_fns.preference import pair_of_dialogues
from xtune.registry import MAP_FNS
from xtune.structures import Preference

__all__ = ["orpo_dpo_mix_40k_map_fn"]


@MAP_FNS.register_module("orpo_dpo_mix_40k")
def orpo_dpo_mix_40k_map_fn(row: dict[str, Any], *, without: Sequence[str] = ()) -> Preference:
    """Read `chosen` and `rejected`: messages of {role, content}, the prompt among them.

    The messages that both begin with are the prompt; the row's `prompt`, a text, is not read. The
    `source` (optional) stays with the pair: `without=['toxic-dpo-v0.2']` leaves rows of it out.

    >>> orpo_dpo_mix_40k_map_fn({'source': 'sums',
    ...     'chosen': [{'role': 'user', 'content': 'Two and two?'},
    ...                {'role': 'assistant', 'content': 'Four.'}],
    ...     'rejected': [{'role': 'user', 'content': 'Two and two?'},
    ...                  {'role': 'assistant', 'content': 'Five.'}]})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'prompt': [{'role': 'user', 'content': 'Two and two?'}],
     'chosen': [{'role': 'assistant', 'content': 'Four.'}],
     'rejected': [{'role': 'assistant', 'content': 'Five.'}],
     'source': 'sums'}

    Args:
        row: a raw row.
        without: sources that are left out.

    Raises:
        UnusableRow: a source that is left out, an empty message, nothing in common, or both
            answers are the same.
        DataError: a field is missing, or not messages.
    """
    source = row.get("source")
    if isinstance(source, str) and source in without:
        raise UnusableRow(f"left out by its source, {source!r}")
    return with_source(pair_of_dialogues(row), source)
