"""Intel's Orca pairs: a question with two answers, GPT-4's and Llama 2's."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.base import is_blank, text_field
from xtune.data.map_fns.preference import preference_of, said
from xtune.registry import MAP_FNS
from xtune.structures import Preference

__all__ = ["intel_orca_dpo_map_fn"]


@MAP_FNS.register_module("intel_orca_dpo")
def intel_orca_dpo_map_fn(row: dict[str, Any]) -> Preference:
    """Read `system` (may be empty or null), `question`, `chosen` and `rejected`.

    >>> intel_orca_dpo_map_fn({'system': '', 'question': 'Two and two?',
    ...     'chosen': 'Four.', 'rejected': 'Five.'}) # doctest: +NORMALIZE_WHITESPACE
    {'prompt': [{'role': 'user', 'content': 'Two and two?'}],
     'chosen': [{'role': 'assistant', 'content': 'Four.'}],
     'rejected': [{'role': 'assistant', 'content': 'Five.'}]}

    Raises:
        UnusableRow: an empty question or answer, or both answers are the same.
        DataError: a field is missing or not text.
    """
    system = text_field(row, "system")
    prompt = [{"role": "user", "content": text_field(row, "question")}]
    if not is_blank(system):
        prompt.insert(0, {"role": "system", "content": system})
    return preference_of(prompt, *(said(text_field(row, name)) for name in ("chosen", "rejected")))
