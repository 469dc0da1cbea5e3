"""Whether an answer is the expected tool call, or a call at all. Nothing is ever executed."""

from __future__ import annotations

import json
from typing import Any

from xtune.data.tool_calls import call_in, refuse_constant

__all__ = ["equal", "is_attempt", "same_call"]


def same_call(answer: str, expected: str) -> bool:
    """Whether an answer is exactly the expected call.

    Names, argument names and strings must be equal letter by letter, numbers by value
    (301 == 301.0); the order of keys does not matter.

    Args:
        answer: the model's text.
        expected: the row's answer, a call.

    >>> same_call('{"arguments": {"value": 301.0}, "name": "f"}',
    ...           '{"name": "f", "arguments": {"value": 301}}')
    True
    """
    call, wanted = call_in(answer), call_in(expected)
    try:
        return call is not None and wanted is not None and equal(call, wanted)
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
    decoder = json.JSONDecoder(parse_constant=refuse_constant)
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


def equal(a: Any, b: Any) -> bool:
    """Whether two JSON values are equal: numbers by value, True and 1 not.

    Args:
        a: decoded JSON.
        b: decoded JSON.
    """
    if isinstance(a, bool) or isinstance(b, bool):  # True == 1 in Python, not in JSON
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(equal, a, b))
    return bool(a == b)
