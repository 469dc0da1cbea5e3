"""Open Assistant's ranked replies as pairs: tasksource/oasst1_pairwise_rlhf_reward."""

from __future__ import annotations

import re
from typing import Any

from xtune.data.map_fns.base import text_field
from xtune.data.map_fns.judgement import with_source
from xtune.data.map_fns.marked import marked_turns
from xtune.data.map_fns.preference import preference_of, said
from xtune.data.map_fns.ranking import asked
from xtune.registry import MAP_FNS
from xtune.structures import Preference

__all__ = ["oasst1_pairwise_map_fn"]

_MARKER = re.compile(r"(?:\A|\n)\s*(prompter|assistant):")
_BEGINS = re.compile(r"\A\s*(?:prompter|assistant):")


@MAP_FNS.register_module("oasst1_pairwise")
def oasst1_pairwise_map_fn(row: dict[str, Any]) -> Preference:
    r"""Read `lang`, `prompt`, `chosen` and `rejected`, texts.

    In the prompt 'prompter:' and 'assistant:' begin the turns; one without them is a single
    request. The language is the source.

    >>> oasst1_pairwise_map_fn({'lang': 'en', 'prompt': 'prompter: Two and two?',
    ...     'chosen': 'Four.', 'rejected': 'Five.'}) # doctest: +NORMALIZE_WHITESPACE
    {'prompt': [{'role': 'user', 'content': 'Two and two?'}],
     'chosen': [{'role': 'assistant', 'content': 'Four.'}],
     'rejected': [{'role': 'assistant', 'content': 'Five.'}],
     'source': 'en'}

    Raises:
        UnusableRow: an empty turn or answer, or both answers are the same.
        DataError: a field is missing or not text.
    """
    text = text_field(row, "prompt")
    turns = marked_turns(text, _MARKER) if _BEGINS.match(text) else asked(text)
    better, worse = (
        said(_BEGINS.sub("", text_field(row, name)).strip()) for name in ("chosen", "rejected")
    )
    return with_source(preference_of(turns, better, worse), text_field(row, "lang"))
