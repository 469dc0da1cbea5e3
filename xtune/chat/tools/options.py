"""A tool's options as they are written on a command line: search.folder=notes python.seconds=60."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import Any

from xtune.errors import UsageError

__all__ = ["DEFAULT_TOOLS", "read_options"]

# What needs no option, reaches nothing, and runs no code of a model's
DEFAULT_TOOLS = ("calculator", "convert", "date", "solve")


def read_options(words: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the options by tool.

    Args:
        words: 'TOOL.OPTION=VALUE', the value a Python literal or else a text.

    Raises:
        UsageError: a word has not that form.

    >>> read_options(["search.folder=notes", "search.count=3", "my.py:f.tags=['a']"])
    {'search': {'folder': 'notes', 'count': 3}, 'my.py:f': {'tags': ['a']}}
    """
    options: dict[str, dict[str, Any]] = {}
    for word in words:
        name, equals, value = word.partition("=")
        tool, _, option = name.rpartition(".")
        if not equals or not tool or not option.isidentifier():
            raise UsageError(
                f"{word!r} is no option of a tool; write TOOL.OPTION=VALUE, such as "
                "search.folder=notes"
            )
        try:
            options.setdefault(tool, {})[option] = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            options.setdefault(tool, {})[option] = value
    return options
