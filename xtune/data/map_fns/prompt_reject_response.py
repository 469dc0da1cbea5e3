"""Triples of a prompt, the answer that was rejected, and the response that is preferred."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.base import text_field
from xtune.data.map_fns.preference import preference_of
from xtune.registry import MAP_FNS
from xtune.structures import Preference

__all__ = ["prompt_reject_response_map_fn"]


@MAP_FNS.register_module("prompt_reject_response")
def prompt_reject_response_map_fn(row: dict[str, Any]) -> Preference:
    """Read `prompt`, `reject` and `response`, of which the response is the better answer.

    A JSON file whose rows are lists of three texts, in this order, is read as well: give its
    fields their names, `data_path=dict(type='files', path=..., fields=['prompt', 'reject',
    'response'])`.

    >>> prompt_reject_response_map_fn({'prompt': 'Two and two?', 'reject': 'Five.',
    ...     'response': 'Four.'}) # doctest: +NORMALIZE_WHITESPACE
    {'prompt': [{'role': 'user', 'content': 'Two and two?'}],
     'chosen': [{'role': 'assistant', 'content': 'Four.'}],
     'rejected': [{'role': 'assistant', 'content': 'Five.'}]}

    Raises:
        UnusableRow: an empty prompt or answer, or both answers are the same.
        DataError: a field is missing or not text.
    """
    asked, worse, better = (text_field(row, name) for name in ("prompt", "reject", "response"))
    return preference_of(
        [{"role": "user", "content": asked}],
        [{"role": "assistant", "content": better}],
        [{"role": "assistant", "content": worse}],
    )
