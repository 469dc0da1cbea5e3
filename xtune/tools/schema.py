"""A tool's JSON schema from its signature and its Google-style docstring.

    def shout(text: str, times: int = 1) -> str:
        \"\"\"Say a text in capitals.

        Args:                                 {"type": "object",
            text: what to say.                 "properties": {
            times: how often.                    "text": {"type": "string", "description": …},
        \"\"\"                                     "times": {"type": "integer", …}},
                                               "required": ["text"]}

The form is what transformers' `get_json_schema` makes of the same function.
"""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal

from xtune.errors import RegistryError
from xtune.tools.spec import ToolSpec

__all__ = ["documentation_of", "schema_of_type", "spec_of"]

_SIMPLE = {
    str: "string",
    int: "integer",
    float: "number",
    bool: "boolean",
    list: "array",
    dict: "object",
}
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_SECTION = re.compile(r"^(Args|Returns|Raises|Yields|Examples?|Notes?):\s*$", re.M)


def spec_of(function: Callable[..., Any], *, name: str, seconds: float) -> ToolSpec:
    """Return what a model is told of a function.

    Args:
        function: every parameter has a type and a line in the docstring's `Args:`.
        name: of the tool.
        seconds: the longest that a call may take.

    Raises:
        RegistryError: something of the schema is missing, or a type has no JSON form.
    """
    if not _NAME.fullmatch(name):
        raise RegistryError(
            f"a tool cannot be named {name!r}: 1 to 64 letters, digits, '_' or '-' are allowed"
        )
    where = f"the tool {name!r}"
    description, said = documentation_of(function)
    if not description:
        raise RegistryError(f"{where} has no docstring; its first sentence tells the model its use")
    parameters = inspect.signature(function).parameters
    hints = typing.get_type_hints(function)
    properties: dict[str, Any] = {}
    for parameter in parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise RegistryError(f"{where} takes *{parameter.name}; name each argument by itself")
        if parameter.name not in hints:
            raise RegistryError(f"{where}: its argument {parameter.name!r} has no type")
        if parameter.name not in said:
            raise RegistryError(
                f"{where}: its docstring says nothing of {parameter.name!r}; write\n"
                f"    Args:\n        {parameter.name}: what it is, in which unit."
            )
        properties[parameter.name] = {
            **schema_of_type(hints[parameter.name], where=f"{where}: {parameter.name!r}"),
            "description": said[parameter.name],
        }
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    required = [name for name, each in parameters.items() if each.default is each.empty]
    if required:
        schema["required"] = required
    return ToolSpec(name, description, schema, seconds)


def schema_of_type(hint: Any, *, where: str = "a type") -> dict[str, Any]:
    """Return the JSON schema of a type.

    Args:
        hint: a type annotation.
        where: whose it is, for messages.

    Raises:
        RegistryError: it has none; begins with `where`.

    >>> schema_of_type(list[int])
    {'type': 'array', 'items': {'type': 'integer'}}
    >>> schema_of_type(Literal['km', 'mile'])
    {'type': 'string', 'enum': ['km', 'mile']}
    >>> schema_of_type(float | None)
    {'type': 'number', 'nullable': True}
    """
    if hint in _SIMPLE:
        return {"type": _SIMPLE[hint]}
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        kinds = {type(value) for value in arguments}
        if len(kinds) == 1 and kinds <= set(_SIMPLE):
            return {"type": _SIMPLE[kinds.pop()], "enum": list(arguments)}
    if origin in (typing.Union, types.UnionType):
        others = [each for each in arguments if each is not type(None)]
        if len(others) == 1:
            return {**schema_of_type(others[0], where=where), "nullable": True}
    if origin is list:
        return {"type": "array", "items": schema_of_type(arguments[0], where=where)}
    if origin in (dict, Mapping) and arguments[0] is str:
        form: dict[str, Any] = {"type": "object"}
        if arguments[1] is not Any:
            form["additionalProperties"] = schema_of_type(arguments[1], where=where)
        return form
    raise RegistryError(
        f"{where} is of type {hint}, which has no JSON form here; allowed are str, int, float, "
        "bool, list[T], dict[str, T], Literal of one type, and T | None"
    )


def documentation_of(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """Return a docstring's description, in one line, and what it says of each argument."""
    text = inspect.getdoc(function) or ""
    pieces = _SECTION.split(text)
    description = " ".join(pieces[0].split())
    arguments = dict(zip(pieces[1::2], pieces[2::2], strict=True)).get("Args", "")
    said: dict[str, str] = {}
    # An argument begins at the smallest indentation; what is deeper goes on with it.
    lines = [line for line in arguments.splitlines() if line.strip()]
    indent = min((len(line) - len(line.lstrip()) for line in lines), default=0)
    current = ""
    for line in lines:
        begins = re.match(rf" {{{indent}}}(\w+)\s*(?:\([^)]*\))?:\s*(.*)", line)
        if begins:
            current = begins[1]
            said[current] = begins[2]
        elif current:
            said[current] += " " + line.strip()
    return description, said
