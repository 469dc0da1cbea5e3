"""A tool's options as they are written on a command line: search.folder=notes python.seconds=60."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Any

from xtune.errors import UsageError

__all__ = ["DEFAULT_TOOLS", "noted_tools", "read_options"]

# What needs no option, reaches nothing, and runs no code of a model's
DEFAULT_TOOLS = ("calculator", "convert", "date", "solve")

_MAY_BE_NOTED = (*DEFAULT_TOOLS, "timer", "search")


def noted_tools(notes: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Return the tools that an adapter was trained with, with options, and those not to be given.

    An adapter may come from anywhere, so its notes may name only what runs no code, and search
    only in what xtune brings. The user can name the others.

    >>> noted_tools({"tools": {"date": {}, "python": {}, "search": {"folder": "/home"}}})
    ({'date': {}}, ['python', 'search'])
    """
    noted = notes.get("tools")
    given: dict[str, dict[str, Any]] = {}
    refused = []
    for name, options in (noted if isinstance(noted, Mapping) else {}).items():
        chosen = dict(options) if isinstance(options, Mapping) else {}
        ours = str(chosen.get("folder", "")).startswith("xtune:") and "engine" not in chosen
        if name in _MAY_BE_NOTED and (name != "search" or ours):
            given[name] = chosen
        else:
            refused.append(str(name))
    return given, refused


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
