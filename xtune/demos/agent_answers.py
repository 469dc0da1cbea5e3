"""The answers of the agent demo: what is said of a tool's result, and what a right one must say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xtune.demos.toolcall_tables import UNITS
from xtune.errors import DataError

__all__ = ["FACTS", "Note", "computed", "dated", "found", "measured", "refused", "timed"]

Note = dict[str, str]  # of a building, by what can be asked

FACTS = {
    "height": "{name} is {height} metres tall.",
    "year": "{name} was finished in {year}.",
    "designer": "{name} was designed by {designer}.",
    "place": "{name} stands in {place}.",
    "colour": "{name} is {colour}.",
}


def computed(results: list[str]) -> tuple[str, list[str]]:
    """The answer to a sum; the list, here and below, is what must stand in any right one."""
    return f"The result is {results[0]}.", [results[0]]


def measured(unit: str, results: list[str]) -> tuple[str, list[str]]:
    """The answer to a conversion, in the unit that was asked for.

    Args:
        unit: that was asked for.
        results: of the calls.
    """
    number = results[0].partition(" = ")[2].split()[0]
    return f"That is {number} {UNITS[unit][0]}.", [number]


def dated(results: list[str]) -> tuple[str, list[str]]:
    """The answer to a question for a date: weekday and day."""
    return f"That is {results[0]}.", results[0].split(", ")


def timed(results: list[str]) -> tuple[str, list[str]]:
    """The answer to a request for a timer."""
    number = results[0].split()[2]
    return f"T{results[0][1:]}.", [number]


def found(note: Note, asked: str, results: list[str]) -> tuple[str, list[str]]:
    """The answer to a question for a fact: that of the note which was found.

    Args:
        note: which should be found.
        asked: the fact's name.
        results: of the calls.

    Raises:
        DataError: the result has not that fact.
    """
    if note[asked] not in results[0]:
        raise DataError(f"search finds {results[0]!r}, not the note on {note['name']}")
    return FACTS[asked].format(**note), [note[asked]]


def refused(tool: str, result: str, arguments: Mapping[str, Any]) -> tuple[str, list[str]]:
    """The answer where a tool could not do it.

    Args:
        tool: that was called.
        result: its refusal.
        arguments: of the call.
    """
    if tool == "convert":
        have, want = arguments["from_unit"], arguments["to_unit"]
        return f"That cannot be done: {result}.", [have, want]
    if tool == "calculator":
        return "That cannot be done: it is a division by zero.", ["zero"]
    if tool == "timer":
        return "That cannot be done: a timer takes at most 24 hours.", ["24 hours"]
    return "I found nothing about that.", ["nothing"]
