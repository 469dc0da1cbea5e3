"""The keys in which two sheets differ; one that is left out of a sheet has its default there.

So a run goes on under a newer version of xtune, whose sheets have more keys than its own has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xtune.config import flat_items
from xtune.config.slots import SHEET_KEYS, defaults

__all__ = ["differing"]


def differing(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the dotted keys whose values differ, with both; `...` where one has no such key.

    A key that only one of them has counts if its value is neither None nor the default of what
    reads it. One of PART 1, which flows into others, is told by these.

    >>> differing({'a': 1, 'randomness': {'seed': 1}}, {'a': 2, 'randomness': {'seed': 1}})
    {'a': (1, 2)}
    >>> differing({}, {'adapter': None, 'model': {'adapter_folder': None}})
    {}

    Args:
        old: values of a sheet.
        new: values of another.
    """
    before, now = dict(flat_items(old)), dict(flat_items(new))
    both = {key: (before.get(key, ...), now.get(key, ...)) for key in before.keys() | now.keys()}
    usual = {**defaults(old), **defaults(new)}
    return {
        key: (one, other)
        for key, (one, other) in both.items()
        if one != other
        and not (one is ... and _says_nothing(key, other, usual))
        and not (other is ... and _says_nothing(key, one, usual))
    }


def _says_nothing(key: str, value: Any, usual: Mapping[str, Any]) -> bool:
    """Whether a sheet with this key runs as one that leaves it out."""
    if key.partition(".")[0] not in SHEET_KEYS:
        return True
    # An empty list or dict is what None is, where a default is None for want of a better one
    return value is None or value in ([], {}, ()) or (key in usual and usual[key] == value)
