"""The wordings of a split of the agent demo's rows.

The words themselves: train_words.py and held_out_words.py. The two share no wording; numbers and
small talk come from the toolcall demo's tables, which share none either.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xtune.demos import toolcall_tables

__all__ = ["Wordings", "listed"]


@dataclass(frozen=True, kw_only=True)
class Wordings:
    """How one split puts its requests.

    Attributes:
        calculator: by operator.
        date: by what is asked: 'weekday', 'after', 'before' or 'ago'.
        search: by what is asked of a building.
        error: requests that a tool will refuse, by tool; 'search' finds nothing.
        repair: requests whose first call was wrong, by tool.
        nested: by the two tools, the first's result goes into the second's call.
        joins: two requests in one, {first} and {second} being whole sentences.
        words: numbers, labels, names and small talk.
        openings: what may stand before a request.
        requests: how many of them a dialogue has, in turn.
        unknown: names that no note has.
        kinds: of the requests, in turn.
        tools: of single and parallel calls; each comes as often as it stands here.
    """

    calculator: Mapping[str, tuple[str, ...]]
    convert: tuple[str, ...]
    date: Mapping[str, tuple[str, ...]]
    timer: tuple[str, ...]
    search: Mapping[str, tuple[str, ...]]
    error: Mapping[str, tuple[str, ...]]
    repair: Mapping[str, tuple[str, ...]]
    nested: Mapping[str, tuple[str, ...]]
    joins: tuple[str, ...]
    words: toolcall_tables.Words
    openings: tuple[str, ...]
    requests: tuple[int, ...]
    unknown: tuple[str, ...]
    kinds: tuple[str, ...]
    tools: tuple[str, ...]


def listed(text: str) -> tuple[str, ...]:
    """'a, b' as ('a', 'b')."""
    return tuple(text.split(", "))
