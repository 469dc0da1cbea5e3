"""Arguments as a model writes them, made what the schema asks for, or refused with every reason.

A model writes '3' for 3, "true" for true and 3.0 for 3, and capitals where the schema has none:
what can mean only one thing is taken for it. A missing or unknown name, or 'three' for 3, is not.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from xtune.errors import did_you_mean
from xtune.tools.base import ToolError
from xtune.tools.spec import ToolSpec

__all__ = ["read_arguments"]

_LONGEST = 200_000  # characters of arguments that are read at all
_DEEPEST = 32  # levels of nesting


def read_arguments(spec: ToolSpec, arguments: Mapping[str, Any] | str) -> dict[str, Any]:
    """Return the arguments of a call as the tool's function takes them.

    Args:
        spec: of the tool.
        arguments: by name, or the JSON text of such an object.

    Raises:
        ToolError: they do not fit the schema; all problems in one text, with the values allowed.
    """
    if isinstance(arguments, str):
        arguments = _parsed(spec.name, arguments)
    if not isinstance(arguments, Mapping):
        raise ToolError(
            f"the arguments of {spec.name} must be an object, not {_shown(arguments)}. "
            f"{_usage(spec)}"
        )
    try:
        if len(json.dumps(arguments)) > _LONGEST:
            raise ToolError(f"the arguments of {spec.name} have more than {_LONGEST} characters")
    except (TypeError, ValueError, RecursionError) as error:
        raise ToolError(f"the arguments of {spec.name} are no JSON: {error}") from None
    root = dict(spec.parameters)
    problems: list[str] = []
    given = _object(dict(arguments), root, "", root, problems, 0, closed=True)
    if problems:
        raise ToolError(f"{spec.name}: {'; '.join(problems)}. {_usage(spec)}")
    return given


def _parsed(name: str, text: str) -> Any:
    try:
        return json.loads(text) if text.strip() else {}
    except (ValueError, RecursionError) as error:
        raise ToolError(f"the arguments of {name} are no JSON: {error}") from None


def _usage(spec: ToolSpec) -> str:
    required = spec.parameters.get("required", ())
    words = [
        f"{name}: {schema.get('type', 'any')}{'' if name in required else ' (optional)'}"
        for name, schema in spec.parameters.get("properties", {}).items()
    ]
    return f"It takes {', '.join(words) or 'no arguments'}"


def _object(
    given: dict[str, Any],
    schema: Mapping[str, Any],
    path: str,
    root: Mapping[str, Any],
    problems: list[str],
    depth: int,
    *,
    closed: bool,
) -> dict[str, Any]:
    properties = schema.get("properties", {})
    required = schema.get("required", [])
    rest = schema.get("additionalProperties", not closed)
    taken = {}
    for name, value in given.items():
        where = f"{path}{name}"
        if name in properties:
            of = _resolved(properties[name], root)
            if value is None and name not in required and not _takes_null(of):
                continue  # null for "not given"
            taken[name] = _value(value, of, where, root, problems, depth + 1)
        elif isinstance(rest, Mapping):
            taken[name] = _value(value, rest, where, root, problems, depth + 1)
        elif rest:
            taken[name] = value
        else:
            problems.append(f"there is no argument {where!r}{did_you_mean(name, properties)}")
    problems += [f"the argument {path}{name} is missing" for name in required if name not in given]
    return taken


def _takes_null(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    several = schema.get("anyOf", ()) or schema.get("oneOf", ())
    return (
        bool(schema.get("nullable"))
        or kind == "null"
        or (isinstance(kind, list) and "null" in kind)
        or any(_takes_null(each) for each in several if isinstance(each, Mapping))
    )


def _resolved(schema: Any, root: Mapping[str, Any]) -> Mapping[str, Any]:
    """Follow `$ref`s within the schema itself."""
    for _ in range(_DEEPEST):
        if not isinstance(schema, Mapping):
            return {}  # `true`: anything
        target = schema.get("$ref")
        if not isinstance(target, str) or not target.startswith("#/"):
            return schema
        found: Any = root
        for key in target[2:].split("/"):
            key = key.replace("~1", "/").replace("~0", "~")
            found = found.get(key) if isinstance(found, Mapping) else None
        schema = found
    return {}


def _value(
    value: Any,
    schema: Any,
    path: str,
    root: Mapping[str, Any],
    problems: list[str],
    depth: int,
) -> Any:
    schema = _resolved(schema, root)
    if depth > _DEEPEST:
        problems.append(f"{path} is nested more than {_DEEPEST} deep")
        return value
    if value is None and _takes_null(schema):
        return None
    several = schema.get("anyOf") or schema.get("oneOf")
    kind = schema.get("type")
    if isinstance(kind, list):
        several = [{**schema, "type": each} for each in kind if each != "null"]
    if several:
        return _first_that_fits(value, several, path, root, problems, depth)
    if kind in _COERCIONS:
        try:
            value = _COERCIONS[kind](value)
        except (TypeError, ValueError, RecursionError):
            problems.append(f"{path} must be {_ARTICLE[kind]}, not {_shown(value)}")
            return value
    if "enum" in schema:
        return _one_of(value, schema["enum"], path, problems)
    if isinstance(value, dict) and ("properties" in schema or "additionalProperties" in schema):
        return _object(value, schema, f"{path}.", root, problems, depth, closed=False)
    if isinstance(value, list) and "items" in schema:
        return [
            _value(each, schema["items"], f"{path}[{at}]", root, problems, depth + 1)
            for at, each in enumerate(value)
        ]
    for key, fails in _BOUNDS.items():
        if key in schema and isinstance(value, int | float) and fails(value, schema[key]):
            problems.append(f"{path} is {value}, but its {key} is {schema[key]}")
    return value


def _first_that_fits(
    value: Any,
    several: list[Any],
    path: str,
    root: Mapping[str, Any],
    problems: list[str],
    depth: int,
) -> Any:
    first: list[str] = []
    # As it stands, before anything is made of it: "3" of string-or-number stays a string.
    for exact in (True, False):
        for schema in several:
            found: list[str] = []
            taken = _value(value, schema, path, root, found, depth + 1)
            if not found and (not exact or (taken == value and type(taken) is type(value))):
                return taken
            first = first or found
    problems += first
    return value


def _one_of(value: Any, allowed: list[Any], path: str, problems: list[str]) -> Any:
    if value in allowed:
        return value
    if isinstance(value, str):
        alike = [a for a in allowed if isinstance(a, str) and a.lower() == value.strip().lower()]
        if len(alike) == 1:
            return alike[0]
    problems.append(f"{path} is {_shown(value)}, allowed are {', '.join(map(repr, allowed))}")
    return value


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise TypeError


def _number(value: Any) -> int | float:
    if isinstance(value, bool):
        raise TypeError
    if isinstance(value, str):
        text = value.strip()
        if len(text) > 400 or "_" in text:
            raise ValueError
        value = int(text) if text.lstrip("+-").isdecimal() else float(text)
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError
    return value


def _integer(value: Any) -> int:
    number = _number(value)
    if number != int(number):
        raise ValueError
    return int(number)


def _boolean(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    said = str(value).strip().lower()
    if said not in ("true", "false"):
        raise ValueError
    return said == "true"


def _array(value: Any) -> list[Any]:
    value = json.loads(value) if isinstance(value, str) else value
    if not isinstance(value, list):
        raise TypeError
    return value


def _mapping(value: Any) -> dict[str, Any]:
    value = json.loads(value) if isinstance(value, str) else value
    if not isinstance(value, Mapping):
        raise TypeError
    return dict(value)


_COERCIONS = {
    "string": _text,
    "number": _number,
    "integer": _integer,
    "boolean": _boolean,
    "array": _array,
    "object": _mapping,
}
_ARTICLE = {
    "string": "a text",
    "number": "a number",
    "integer": "a whole number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
}
_BOUNDS = {
    "minimum": lambda value, bound: value < bound,
    "maximum": lambda value, bound: value > bound,
    "exclusiveMinimum": lambda value, bound: value <= bound,
    "exclusiveMaximum": lambda value, bound: value >= bound,
}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
