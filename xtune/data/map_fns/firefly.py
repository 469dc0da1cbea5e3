"""Firefly's Chinese instructions, and its form of dialogues: YeungNLP."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.dialogue import dialogue
from xtune.data.map_fns.pair import exchanges, pair
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["firefly_map_fn"]


@MAP_FNS.register_module("firefly")
def firefly_map_fn(row: dict[str, Any]) -> Conversation:
    """Read `input` and `target`; or `conversation`, a list of {human, assistant}.

    firefly-train-1.1M has the first form (and a `kind`, which is not read), the project's
    dialogues the second.

    >>> firefly_map_fn({'kind': 'NLI', 'input': '今天下雨了。', 'target': '蕴含'})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'messages': [{'role': 'user', 'content': '今天下雨了。'},
                  {'role': 'assistant', 'content': '蕴含'}]}

    Raises:
        UnusableRow: an empty request or answer, or nothing to train on.
        DataError: a field is missing, or a turn is not of this form.
    """
    if "conversation" not in row:
        return pair(row, asked="input", answer="target")
    turns = exchanges(row["conversation"], of="conversation", asked="human", answer="assistant")
    return dialogue(turns)
