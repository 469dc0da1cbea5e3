"""Whether an answer states what it should, and a call has the arguments that it should."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from xtune.eval.call_match import equal

__all__ = ["same_arguments", "states"]


def states(answer: str, facts: Iterable[str]) -> bool:
    """Whether all facts stand in an answer, as whole words and numbers; capitals do not matter.

    Args:
        answer: the model's text.
        facts: that must stand in it.

    >>> states("That is 12.5 feet.", ["12.5"]), states("That is 112.53 feet.", ["12.5"])
    (True, False)
    """
    return all(
        re.search(rf"(?<![\w.-]){re.escape(fact)}(?!\w|[.,]\d)", answer, re.IGNORECASE)
        for fact in facts
    )


def same_arguments(given: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether arguments are equal: numbers by value, texts without regard to capitals.

    Args:
        given: by the model.
        wanted: by the row.

    >>> same_arguments({"value": 3.0, "to": "Foot"}, {"value": 3, "to": "foot"})
    True
    """
    return equal(_plain(given), _plain(wanted))


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.strip().lower()
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value
