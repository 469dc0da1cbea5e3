"""Read Python-like calls and signatures as data: by `ast`, and without running anything."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from xtune.data.tool_calls import Call
from xtune.errors import DataError

__all__ = ["read_calls", "read_signatures"]

_TYPES = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_TYPES |= {"list": "array", "tuple": "array", "set": "array", "dict": "object"}
_LONGEST = 20_000  # characters; Python's parser is no friend of endless texts


def read_calls(text: str, tools: Mapping[str, list[str]]) -> list[Call]:
    """Read `a(x=1); b(2)`, one on each line, `[a(), b()]`, or nested `f(x=g(y=2))`.

    A module before the name (`nvdlib.searchCVE`) and a variable it is assigned to are left out. An
    argument that is a call is a Call in the arguments.

    >>> read_calls("f(1, y=[g()])", {"f": ["x", "y"], "g": []})
    [Call(name='f', arguments={'x': 1, 'y': [Call(name='g', arguments={}, id='')]}, id='')]

    Args:
        text: what to read.
        tools: the names of each tool's arguments, in order; no other tool may be called.

    Raises:
        DataError: it is not only calls of these tools with literal values.
    """
    calls = []
    for node in _parsed(text).body:
        value = getattr(node, "value", None)
        if not isinstance(node, ast.Expr | ast.Assign) or value is None:
            raise DataError(f"expected calls, not the statement {_shown(node)}")
        many = value.elts if isinstance(value, ast.List | ast.Tuple) else [value]
        for each in many:
            if not isinstance(each, ast.Call):
                raise DataError(f"expected a call, not {_shown(each)}")
            calls.append(_call(each, tools))
    if not calls:
        raise DataError("expected calls, and there is none")
    return calls


def read_signatures(text: str) -> list[dict[str, Any]]:
    '''Read functions' signatures and docstrings as tools in OpenAI's form.

    >>> made = read_signatures('def add(a: int, b: int = 0):\\n    """Add."""')
    >>> made[0]["function"]["parameters"]["required"]
    ['a']

    Raises:
        DataError: it is no Python, or there is no function in it.
    '''
    functions = [node for node in _parsed(text).body if isinstance(node, ast.FunctionDef)]
    if not functions:
        raise DataError(f"there is no 'def' in the functions' definitions: {text[:80]!r}")
    return [_tool(node) for node in functions]


def _parsed(text: str) -> ast.Module:
    if len(text) > _LONGEST:
        raise DataError(f"it has {len(text)} characters; {_LONGEST} at most can be read")
    try:
        return ast.parse(text.strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"it is no Python ({error}): {text[:80]!r}") from None


def _call(node: ast.Call, tools: Mapping[str, list[str]]) -> Call:
    name = _name(node.func)
    if name not in tools:
        name = name.rpartition(".")[2]
    if name not in tools:
        raise DataError(
            f"{_shown(node)} calls none of the row's tools ({', '.join(tools) or 'there are none'})"
        )
    order = tools[name]
    if len(node.args) > len(order):
        raise DataError(f"{_shown(node)} has {len(node.args)} values for {len(order)} arguments")
    given = {order[at]: _value(value, tools) for at, value in enumerate(node.args)}
    for keyword in node.keywords:
        if keyword.arg is None or keyword.arg in given:
            raise DataError(f"{_shown(node)} gives arguments as **, or one twice")
        given[keyword.arg] = _value(keyword.value, tools)
    return Call(name, given)


def _name(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{_name(node.value)}.{node.attr}"
    raise DataError(f"a tool is called by its name, not as {_shown(node)}")


def _value(node: ast.expr, tools: Mapping[str, list[str]]) -> Any:
    if isinstance(node, ast.Call):
        return _call(node, tools)
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(each, tools) for each in node.elts]
    if isinstance(node, ast.Dict):
        keys = [None if key is None else _literal(key) for key in node.keys]
        if not all(isinstance(key, str) for key in keys):
            raise DataError(f"keys must be texts: {_shown(node)}")
        return dict(zip(keys, (_value(each, tools) for each in node.values), strict=True))
    return _literal(node)


def _literal(node: ast.expr) -> Any:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, RecursionError, MemoryError):
        raise DataError(f"a value must be a literal or a call, not {_shown(node)}") from None
    if value is not None and not isinstance(value, str | int | float):
        raise DataError(f"a value must be one that JSON has, not {_shown(node)}")
    return value


def _tool(node: ast.FunctionDef) -> dict[str, Any]:
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    positional = len(node.args.posonlyargs) + len(node.args.args)
    required = [each.arg for each in arguments[: positional - len(node.args.defaults)]]
    for each, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        required += [each.arg] if default is None else []
    schema = {
        "type": "object",
        "properties": {each.arg: _schema(each.annotation) for each in arguments},
        "required": required,
    }
    function = {
        "name": node.name,
        "description": ast.get_docstring(node) or "",
        "parameters": schema,
    }
    return {"type": "function", "function": function}


def _schema(annotation: ast.expr | None) -> dict[str, Any]:
    """An annotation as a schema; {}, which allows anything, of one that says no plain type."""
    if isinstance(annotation, ast.Subscript):
        outer = annotation.value.id if isinstance(annotation.value, ast.Name) else ""
        inner = annotation.slice
        if outer == "Optional":
            return _schema(inner)
        made = _schema(annotation.value)
        if made.get("type") == "array" and not isinstance(inner, ast.Tuple):
            made["items"] = _schema(inner)
        return made
    name = annotation.id.lower() if isinstance(annotation, ast.Name) else ""
    return {"type": _TYPES[name]} if name in _TYPES else {}


def _shown(node: ast.AST) -> str:
    try:
        return repr(ast.unparse(node)[:80])
    except RecursionError:
        return "a deep nest"
