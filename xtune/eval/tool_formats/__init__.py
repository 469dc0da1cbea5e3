"""Benchmarks of tool calls, row by row: what is asked, with which tools, which calls are right.

    bfcl.py        the Berkeley Function-Calling Leaderboard
    nexusraven.py  NexusRaven's benchmarks: Python-like calls, parallel and nested ones too
    toolbench.py   ToolBench: Thought, Action, Action Input
    openai_form.py rows of our own, as they are trained on

A new format is a new file here with a `read_...` from a row to a ToolCase, and a line in FORMATS.
Nothing that stands in a row is ever executed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from xtune.errors import UsageError
from xtune.eval.tool_formats.bfcl import read_bfcl
from xtune.eval.tool_formats.case import CallFields, ExpectedCall, ToolCase
from xtune.eval.tool_formats.nexusraven import CALLS, REQUESTS, read_nexusraven
from xtune.eval.tool_formats.openai_form import read_openai
from xtune.eval.tool_formats.toolbench import read_toolbench

__all__ = ["FORMATS", "CallFields", "ExpectedCall", "ToolCase", "ToolFormat", "detect_format"]


class ToolFormat(NamedTuple):
    """A format of rows.

    Attributes:
        read: from a row to its case; raises DataError for a row that cannot be used.
        fields: what it needs, for people.
        fits: whether a row's field names are those of the format.
    """

    read: Callable[[Mapping[str, Any]], ToolCase]
    fields: str
    fits: Callable[[Mapping[str, Any]], bool]


FORMATS = {
    "bfcl": ToolFormat(
        read_bfcl,
        "id, question, function, ground_truth (or tool_calls.answers=FILE)",
        lambda row: {"question", "function"} <= row.keys(),
    ),
    "nexusraven": ToolFormat(
        read_nexusraven,
        f"one of {'|'.join(REQUESTS)}, one of {'|'.join(CALLS)}, Context (or "
        "tool_calls.tools=FILE)",
        lambda row: bool(row.keys() & set(REQUESTS)) and bool(row.keys() & set(CALLS)),
    ),
    "toolbench": ToolFormat(
        read_toolbench,
        "conversations of {from, value}, with Action and Action Input in the answers",
        lambda row: "conversations" in row,
    ),
    "openai": ToolFormat(
        read_openai,
        "messages with an assistant's answer, tools",
        lambda row: "messages" in row,
    ),
}


def detect_format(row: Mapping[str, Any]) -> str:
    """Return the name of the format whose fields a row has.

    >>> detect_format({"id": "simple_0", "question": [], "function": []})
    'bfcl'

    Raises:
        UsageError: none has them; says what each needs.
    """
    for name, each in FORMATS.items():
        if each.fits(row):
            return name
    needs = "\n".join(f"  {name}: {each.fields}" for name, each in FORMATS.items())
    raise UsageError(
        f"the format cannot be told from the first row's fields ({', '.join(row) or 'none'}); "
        f"name it with tool_calls.format=…, or rename the fields. What each needs:\n{needs}"
    )
