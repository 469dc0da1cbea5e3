"""Arxiv papers: from the abstract to the title."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.pair import pair
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["arxiv_map_fn"]


@MAP_FNS.register_module("arxiv")
def arxiv_map_fn(row: dict[str, Any]) -> Conversation:
    """Read `abstract` and `title`.

    The abstract is the request: what to do with it, the config's SYSTEM says.

    >>> arxiv_map_fn({'abstract': 'We show that packs of wolves sleep.', 'title': 'On Packs'})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'messages': [{'role': 'user', 'content': 'We show that packs of wolves sleep.'},
                  {'role': 'assistant', 'content': 'On Packs'}]}

    Raises:
        UnusableRow: nothing is asked, or the answer is empty.
        DataError: a field is missing or not text.
    """
    return pair(row, asked="abstract", answer="title")
