"""Pairs after one text of a dialogue: Dahoas/rm-static, full-hh-rlhf, rlhf-reward-datasets."""

from __future__ import annotations

import re
from typing import Any

from xtune.data.map_fns.base import UnusableRow, is_blank, text_field
from xtune.data.map_fns.marked import marked_turns
from xtune.data.map_fns.preference import preference_of, said, without_prompt
from xtune.registry import MAP_FNS
from xtune.structures import Preference

__all__ = ["rm_static_map_fn"]

_MARKER = re.compile(r"(?:\A\s*|\n\n)(Human|Hum|Assistant):")


@MAP_FNS.register_module("rm_static")
def rm_static_map_fn(row: dict[str, Any]) -> Preference:
    r"""Read `prompt`, in which 'Human:' and 'Assistant:' begin turns, `chosen` and `rejected`.

    The prompt ends with 'Assistant:'. Where both answers begin with the prompt it is taken off
    them. `response` (optional) repeats the chosen answer.

    >>> rm_static_map_fn({'prompt': '\n\nHuman: Two and two?\n\nAssistant:', 'response': ' Four.',
    ...     'chosen': ' Four.', 'rejected': ' Five.'}) # doctest: +NORMALIZE_WHITESPACE
    {'prompt': [{'role': 'user', 'content': 'Two and two?'}],
     'chosen': [{'role': 'assistant', 'content': 'Four.'}],
     'rejected': [{'role': 'assistant', 'content': 'Five.'}]}

    Raises:
        UnusableRow: an empty turn or answer, or both answers are the same.
        DataError: a field is missing, or the prompt does not begin with a marker.
    """
    text = text_field(row, "prompt")
    if is_blank(text):
        raise UnusableRow("empty request")
    turns = marked_turns(text, _MARKER)
    if turns[-1]["role"] == "assistant" and is_blank(turns[-1]["content"]):
        turns.pop()
    answers = [text_field(row, name) for name in ("chosen", "rejected")]
    (better, worse), form = without_prompt(text, *answers)
    if row.get("response") is not None:
        text_field(row, "response")
    pair = preference_of(turns, said(better.strip()), said(worse.strip()))
    return {**pair, "form": form} if form else pair
