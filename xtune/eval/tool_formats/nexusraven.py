"""NexusRaven's benchmarks: a request, functions as Python defines them, and the call as Python.

    {"Input": "How hot is it where I am?", "Output": "weather(place=here())",
     "Context": ["def weather(place: str):\\n    ...", "def here():\\n    ..."]}

The published sets keep the functions in a set of their own (Function_Call_Definitions): --tools.
A request whose call is nested is right if the model makes the nested call, or the innermost calls
alone: a model that acts step by step asks for those first, and has not got their results.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Any

from xtune.data.tool_calls import Call
from xtune.errors import DataError
from xtune.eval.tool_formats.case import CallFields, ExpectedCall, ToolCase, as_function
from xtune.eval.tool_formats.python_calls import read_calls, read_signatures

__all__ = ["CALLS", "REQUESTS", "argument_names", "read_nexusraven", "read_tools"]

REQUESTS = ("Input", "generated_question", "prompt", "query")
CALLS = ("Output", "fncall", "call", "python_function_name")
_TOOLS = ("Context", "functions", "context_functions", "tools")


def read_nexusraven(row: Mapping[str, Any]) -> ToolCase:
    """Read the request, the call and the functions, under any name that the published sets use.

    Raises:
        DataError: one of them is missing, or the call is not only calls of these functions with
            literal values.
    """
    request = _first(row, REQUESTS)
    if not isinstance(request, str) or not request.strip():
        raise DataError(f"it needs a request in one of {', '.join(REQUESTS)}")
    tools = read_tools(_first(row, _TOOLS))
    text = _call_text(row)
    calls = read_calls(text, argument_names(tools))
    whole = tuple(map(_expected, calls))
    is_nested = any(map(_nested, calls))
    inner = tuple(_expected(each) for call in calls for each in _innermost(call))
    kind = "nested" if is_nested else "parallel" if len(calls) > 1 else "single"
    return ToolCase(
        messages=[{"role": "user", "content": request}],
        tools=tools,
        accepted=(whole, inner) if is_nested else (whole,),
        kind=kind,
        expected=text,
    )


def read_tools(raw: object) -> list[dict[str, Any]]:
    """Read functions: Python text or a list of texts, `function_calls` and `descriptions`, schemas.

    Raises:
        DataError: there are none, or they are none of these.
    """
    if isinstance(raw, str):
        return read_signatures(raw)
    if not isinstance(raw, list) or not raw:
        raise DataError(
            f"it needs functions in one of {', '.join(_TOOLS)}, or tool_calls.tools=FILE"
        )
    return [tool for each in raw for tool in _tools_of(each)]


def argument_names(tools: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return the argument names of each tool, in order."""
    functions = [tool["function"] for tool in tools]
    return {each["name"]: list(each["parameters"].get("properties", ())) for each in functions}


def _tools_of(raw: object) -> list[dict[str, Any]]:
    if isinstance(raw, str):
        return read_signatures(raw)
    if isinstance(raw, Mapping) and isinstance(raw.get("function_calls"), str):
        (tool,) = read_signatures(f"def {raw['function_calls'].strip().rstrip(':')}: pass")
        tool["function"]["description"] = str(raw.get("descriptions") or "")
        return [tool]
    return [as_function(raw)]


def _first(row: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((row[name] for name in names if row.get(name)), None)


def _call_text(row: Mapping[str, Any]) -> str:
    given = _first(row, CALLS)
    if isinstance(given, list) and all(isinstance(each, str) for each in given):
        return "; ".join(given)
    if not isinstance(given, str):
        raise DataError(f"it needs a call in one of {', '.join(CALLS)}")
    if given == row.get("python_function_name"):  # the first version: name and arguments apart
        arguments = row.get("python_args_dict") or {}
        try:
            read = ast.literal_eval(arguments) if isinstance(arguments, str) else arguments
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError):
            read = None
        if not isinstance(read, dict):
            raise DataError(f"python_args_dict must be a dict of literals: {str(arguments)[:80]}")
        return f"{given}({', '.join(f'{name}={value!r}' for name, value in read.items())})"
    return given


def _expected(call: Call) -> ExpectedCall:
    allowed = {name: (_wanted(value),) for name, value in call.arguments.items()}
    return ExpectedCall(call.name, CallFields(allowed))


def _wanted(value: Any) -> Any:
    if isinstance(value, Call):
        return _expected(value)
    if isinstance(value, list):
        return list(map(_wanted, value))
    return (
        {name: _wanted(each) for name, each in value.items()} if isinstance(value, dict) else value
    )


def _nested(value: Any) -> list[Call]:
    """The calls in a call's arguments, those in them not included."""
    if isinstance(value, Call):
        return [call for each in value.arguments.values() for call in _calls_in(each)]
    return []


def _calls_in(value: Any) -> list[Call]:
    if isinstance(value, Call):
        return [value]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [call for each in inside for call in _calls_in(each)]


def _innermost(call: Call) -> list[Call]:
    inner = _nested(call)
    return [each for one in inner for each in _innermost(one)] if inner else [call]
