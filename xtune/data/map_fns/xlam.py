"""APIGen's function calls: Salesforce/xlam-function-calling-60k."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from xtune.data.map_fns.base import describe, field, text_field
from xtune.data.map_fns.dialogue import as_list, dialogue
from xtune.errors import DataError
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["xlam_map_fn"]

# The data name types as Python does; tools are described to models in JSON Schema's words.
_JSON_TYPES = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "list": "array",
    "tuple": "array",
    "set": "array",
    "dict": "object",
}


@MAP_FNS.register_module("xlam")
def xlam_map_fn(row: dict[str, Any]) -> Conversation:
    """Read `query`, `answers` (the calls) and `tools`: lists, or these lists as JSON text.

    The answer is the calls alone, as `tool_calls`; the tools are described in JSON Schema.

    >>> made = xlam_map_fn({'query': 'Time in Rome?',
    ...     'answers': '[{"name": "clock", "arguments": {"city": "Rome"}}]',
    ...     'tools': '[{"name": "clock", "description": "Tells the time.", "parameters": '
    ...              '{"city": {"description": "Where.", "type": "str"}}}]'})
    >>> made['messages'][1]['tool_calls']
    [{'type': 'function', 'function': {'name': 'clock', 'arguments': {'city': 'Rome'}}}]
    >>> made['tools'][0]['function']['parameters'] # doctest: +NORMALIZE_WHITESPACE
    {'type': 'object',
     'properties': {'city': {'description': 'Where.', 'type': 'string'}}, 'required': ['city']}

    Raises:
        UnusableRow: nothing is asked, or nothing is called.
        DataError: a field is missing or of another form.
    """
    messages = [
        {"role": "user", "content": text_field(row, "query")},
        {"role": "assistant", "tool_calls": as_list(field(row, "answers"), name="answers")},
    ]
    tools = as_list(field(row, "tools"), name="tools")
    return dialogue(messages, [_described(tool) for tool in tools])


def _described(tool: object) -> dict[str, Any]:
    """A tool in OpenAI's form; one that is in it already is left as it is."""
    if not isinstance(tool, Mapping) or not isinstance(tool.get("name"), str):
        if isinstance(tool, Mapping) and "function" in tool:
            return dict(tool)
        raise DataError(f"a tool must be an object with name and parameters, not {describe(tool)}")
    parameters = tool.get("parameters") or {}
    if not isinstance(parameters, Mapping):
        raise DataError(
            f"the parameters of {tool['name']!r} must be an object, not {describe(parameters)}"
        )
    if "properties" not in parameters:
        parameters = _schema(parameters)
    function = {"name": tool["name"], "description": tool.get("description") or ""}
    return {"type": "function", "function": {**function, "parameters": dict(parameters)}}


def _schema(parameters: Mapping[str, Any]) -> dict[str, Any]:
    properties, required = {}, []
    for name, about in parameters.items():
        about = dict(about) if isinstance(about, Mapping) else {"description": str(about)}
        written = str(about.get("type", "str"))
        needed = about.pop("required", "default" not in about and "optional" not in written.lower())
        about["type"] = _json_type(written)
        properties[name] = about
        if needed is True:
            required.append(name)
    return {"type": "object", "properties": properties, "required": required}


def _json_type(written: str) -> str:
    """'List[int], optional' and the like in JSON Schema's words; unknown ones as they are."""
    inner = re.sub(r"^Optional\[(.*)\]$", r"\1", written.split(", optional")[0].strip())
    return _JSON_TYPES.get(re.split(r"[\[, ]", inner)[0].lower(), inner)
