"""Colours from their descriptions: burkelibbey/colors."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.base import text_field
from xtune.data.map_fns.pair import exchange
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["colors_map_fn"]


@MAP_FNS.register_module("colors")
def colors_map_fn(row: dict[str, Any]) -> Conversation:
    """Read `description` and `color`; a name before the description's first colon is left out.

    The name ('Pure Black: ...') would give the answer away.

    >>> colors_map_fn({'description': 'Pure Black: no light at all.', 'color': '#000000'})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'messages': [{'role': 'user', 'content': 'no light at all.'},
                  {'role': 'assistant', 'content': '#000000'}]}

    Raises:
        UnusableRow: no description or no colour.
        DataError: a field is missing or not text.
    """
    name, colon, described = text_field(row, "description").partition(":")
    request = (described if colon else name).strip()
    return exchange(request, text_field(row, "color"))
