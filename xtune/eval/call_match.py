"""Whether an answer is the expected tool call, or a call at all. Nothing is ever executed."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["call_in", "is_attempt", "same_call"]


def call_in(text: str) -> dict[str, Any] | None:
    """Return the tool call that the whole text is, or None.

    A call is one JSON object with a `name` and an object of `arguments`; white space may stand
    around it and nothing else.

    >>> call_in('{"name": "now", "arguments": {}}')
    {'name': 'now', 'arguments': {}}
    >>> call_in('Sure: {"name": "now", "arguments": {}}') is None
    True
    """
    try:
        call = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):  # no JSON; an integer of thousands of digits; [[[[…
        return None
    if not isinstance(call, dict) or not isinstance(call.get("name"), str):
        return None
    return call if isinstance(call.get("arguments"), dict) else None


def same_call(answer: str, expected: str) -> bool:
    """Whether an answer is exactly the expected call.

    Names, argument names and strings must be equal letter by letter, numbers by value
    (301 == 301.0); the order of keys does not matter.

    >>> same_call('{"arguments": {"value": 301.0}, "name": "f"}',
    ...           '{"name": "f", "arguments": {"value": 301}}')
    True
    """
    call, wanted = call_in(answer), call_in(expected)
    try:
        return call is not None and wanted is not None and _equal(call, wanted)
    except RecursionError:  # json reads deeper nests than Python compares
        return False


def is_attempt(answer: str) -> bool:
    """Whether an answer is a call, tries to be one, or has one somewhere in its text.

    >>> [is_attempt(text) for text in ('You are welcome!', '{"name": "con', 'A set: {1, 2}.')]
    [False, True, False]
    >>> is_attempt('I call {"name": "now", "arguments": {}} for you.')
    True
    """
    if answer.lstrip().startswith("{"):
        return True
    decoder = json.JSONDecoder(parse_constant=_refuse)
    at = answer.find("{")
    while at >= 0:
        try:
            found, _ = decoder.raw_decode(answer, at)
        except (ValueError, RecursionError):
            found = None
        if isinstance(found, dict) and "name" in found and "arguments" in found:
            return True
        at = answer.find("{", at + 1)
    return False


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")  # Python's parser would take NaN and Infinity


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, bool) or isinstance(b, bool):  # True == 1 in Python, not in JSON
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_equal, a, b))
    return bool(a == b)
