"""The `tools` of a row: a list of descriptions, each of which may be JSON text, as may the list."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xtune.data.map_fns.base import describe, is_blank
from xtune.data.map_fns.literal import parsed_text
from xtune.errors import DataError

__all__ = ["tools_of"]

_FORM = '{"type": "function", "function": {"name": …, "description": …, "parameters": …}}'


def tools_of(value: object) -> list[dict[str, Any]]:
    """Return the descriptions; none for null and empty text.

    >>> tools_of(['{"name": "clock"}'])
    [{'name': 'clock'}]

    Raises:
        DataError: it is no list, or one of them has no name.
    """
    if isinstance(value, str):
        value = None if is_blank(value) else parsed_text(value, name="tools")
    if value is None:
        return []
    if not isinstance(value, list):
        raise DataError(f"'tools' must be a list of descriptions, not {describe(value)}")
    return [_tool(tool, number) for number, tool in enumerate(value, start=1)]


def _tool(tool: object, number: int) -> dict[str, Any]:
    if isinstance(tool, str):
        tool = parsed_text(tool, name=f"tool {number}")
    function = tool.get("function", tool) if isinstance(tool, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(tool, dict) or not isinstance(name, str) or is_blank(name):
        raise DataError(f"tool {number} must be {_FORM}, not {describe(tool)}")
    return tool
