"""From a name and options to tools that can be called; done inside a worker process."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from xtune.errors import RegistryError, UsageError, did_you_mean
from xtune.registry import TOOLS, resolve
from xtune.tools.base import Declaration, Tool
from xtune.tools.schema import spec_of

__all__ = ["build_tools", "declaration_of"]


def declaration_of(named: str) -> Declaration:
    """Return what the decorator says of a tool.

    Args:
        named: a registered name, `package.module.name`, or `path/to/file.py:name`.

    Raises:
        RegistryError: nothing has that name, or it is no tool.
    """
    declared = getattr(resolve(TOOLS, named), "__tool__", None)
    if declared is None:
        raise RegistryError(
            f"{named!r} is no tool: put @tool above it (from xtune.tools.base import tool)"
        )
    return declared


def build_tools(named: str, options: Mapping[str, Any]) -> list[Tool]:
    """Return the tools that a name stands for: one, or those of a server or a document.

    Args:
        named: as for `declaration_of`.
        options: of the tool, by name.

    Raises:
        RegistryError: as for `declaration_of`.
        UsageError: the tool has no such option, or lacks one.
    """
    declared, of = declaration_of(named), resolve(TOOLS, named)
    allowed = dict(inspect.signature(of).parameters) if isinstance(of, type) else {}
    for option in options:
        if option not in allowed:
            raise UsageError(
                f"the tool {named!r} has no option {option!r}{did_you_mean(option, allowed) or ';'}"
                f" it has: {', '.join(allowed) or 'none'}"
            )
    lacking = [
        name for name, each in allowed.items() if each.default is each.empty and name not in options
    ]
    if lacking:
        raise UsageError(
            f"the tool {named!r} needs the option {lacking[0]!r}; options are given as "
            f"ToolBox([...], {{{named!r}: {{{lacking[0]!r}: ...}}}}) or --tool-options "
            f"{named}.{lacking[0]}=..."
        )
    function: Any = of(**options) if isinstance(of, type) else of
    if hasattr(function, "tools"):
        return list(function.tools())
    spec_from = type(function).__call__.__get__(function) if isinstance(of, type) else function
    return [Tool(spec_of(spec_from, name=declared.name, seconds=declared.seconds), function)]
