"""Whether calls are the expected ones: names, and arguments by their values."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from xtune.data.tool_calls import Call
from xtune.eval.tool_formats.case import CallFields, ExpectedCall, ToolCase

__all__ = ["Verdict", "judge"]

_LOOSE = re.compile(r"[ ,./\-_*^'\"]")


class Verdict(NamedTuple):
    """What is right of an answer's calls.

    Attributes:
        tool: exactly the expected tools are called, as often as expected.
        arguments: and with the expected arguments.
    """

    tool: bool
    arguments: bool


def judge(case: ToolCase, calls: Sequence[Call]) -> Verdict:
    """Compare an answer's calls with the expected ones, in whatever order they come.

    Args:
        case: the request and what is accepted.
        calls: the model's.
    """
    made = list(calls[:1] if case.first_only else calls)
    names = sorted(call.name for call in made)
    alike = [all_of for all_of in case.accepted if sorted(c.name for c in all_of) == names]
    try:
        return Verdict(bool(alike), any(_paired(all_of, made) for all_of in alike))
    except RecursionError:  # json reads deeper nests than Python compares
        return Verdict(bool(alike), False)


def _paired(expected: Sequence[ExpectedCall], made: list[Call]) -> bool:
    """Whether each expected call has a call of its own."""
    fits = [[at for at, call in enumerate(made) if _is(call, wanted)] for wanted in expected]
    owner: dict[int, int] = {}  # of a call: the expected one it is taken for

    def place(wanted: int, tried: set[int]) -> bool:
        for at in fits[wanted]:
            if at in tried:
                continue
            tried.add(at)
            if at not in owner or place(owner[at], tried):
                owner[at] = wanted
                return True
        return False

    return all(place(wanted, set()) for wanted in range(len(expected)))


def _is(call: Call, wanted: ExpectedCall) -> bool:
    return call.name == wanted.name and _holds(call.arguments, wanted.arguments)


def _holds(got: Mapping[str, Any], wanted: CallFields) -> bool:
    needed = wanted.allowed.keys() - wanted.optional
    if not needed <= got.keys() <= wanted.allowed.keys():
        return False
    return all(
        any(_equal(value, each, wanted.loose_text) for each in wanted.allowed[name])
        for name, value in got.items()
    )


def _equal(got: Any, wanted: Any, loose: bool) -> bool:
    if isinstance(wanted, ExpectedCall):
        return (call := _as_call(got)) is not None and _is(call, wanted)
    if isinstance(wanted, CallFields):
        return isinstance(got, dict) and _holds(got, wanted)
    if isinstance(got, bool) or isinstance(wanted, bool):  # True == 1 in Python, not in JSON
        return got is wanted
    if isinstance(got, list) and isinstance(wanted, list | tuple):
        pairs = zip(got, wanted, strict=False)
        return len(got) == len(wanted) and all(_equal(a, b, loose) for a, b in pairs)
    if isinstance(got, dict) and isinstance(wanted, dict):
        alike = got.keys() == wanted.keys()
        return alike and all(_equal(got[key], wanted[key], loose) for key in got)
    if loose and isinstance(got, str) and isinstance(wanted, str):
        return _LOOSE.sub("", got).lower() == _LOOSE.sub("", wanted).lower()
    return bool(got == wanted)


def _as_call(value: Any) -> Call | None:
    """A call in an argument: read from Python, or as JSON {"name", "arguments"}."""
    if isinstance(value, Call):
        return value
    if isinstance(value, dict) and isinstance(value.get("name"), str):
        given = value.get("arguments")
        return Call(value["name"], given) if isinstance(given, dict) else None
    return None
