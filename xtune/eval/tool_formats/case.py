"""What is asked and which calls are right, whatever format it was read from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from xtune.errors import DataError
from xtune.structures import Message

__all__ = ["CallFields", "ExpectedCall", "ToolCase", "as_function", "plain_calls"]


@dataclass(frozen=True, slots=True)
class CallFields:
    """What an object may hold, such as the arguments of a call.

    Attributes:
        allowed: by name the values of which any is right; a value may be a CallFields or an
            ExpectedCall, and lists may hold them.
        optional: names that may be left out.
        loose_text: whether texts are compared without case, spaces and punctuation.
    """

    allowed: Mapping[str, tuple[Any, ...]]
    optional: frozenset[str] = frozenset()
    loose_text: bool = False


@dataclass(frozen=True, slots=True)
class ExpectedCall:
    """A call that is right.

    Attributes:
        name: of the tool.
        arguments: what they may be.
    """

    name: str
    arguments: CallFields


@dataclass(frozen=True, slots=True)
class ToolCase:
    """One request of a benchmark.

    Attributes:
        messages: the dialogue, ending with what is to be answered.
        tools: in OpenAI's form; none where the system text already tells them.
        accepted: lists of calls of which any is right, in whatever order the model makes its
            calls; none where no call is needed.
        kind: of request, for the table.
        expected: what stands in the data, as text for people.
        first_only: whether only the model's first call counts.
    """

    messages: list[Message]
    tools: list[dict[str, Any]]
    accepted: tuple[tuple[ExpectedCall, ...], ...]
    kind: str
    expected: str = ""
    first_only: bool = field(default=False)


def as_function(tool: object) -> dict[str, Any]:
    """Return a tool's definition in OpenAI's form.

    Raises:
        DataError: it has no name, or its parameters are no schema.
    """
    inner = tool.get("function", tool) if isinstance(tool, Mapping) else None
    if not isinstance(inner, Mapping) or not isinstance(inner.get("name"), str):
        raise DataError(f"a tool must be {{name, description, parameters}}, not {str(tool)[:80]!r}")
    schema = inner.get("parameters") or {"type": "object", "properties": {}}
    if not isinstance(schema, Mapping):
        raise DataError(f"the parameters of {inner['name']!r} must be a JSON schema (an object)")
    description = str(inner.get("description") or "")
    function = {"name": inner["name"], "description": description, "parameters": dict(schema)}
    return {"type": "function", "function": function}


def plain_calls(*calls: tuple[str, Mapping[str, Any]]) -> tuple[ExpectedCall, ...]:
    """Return calls of which each argument has one right value.

    >>> plain_calls(("add", {"a": 1}))[0].arguments.allowed
    {'a': (1,)}
    """
    return tuple(
        ExpectedCall(name, CallFields({key: (value,) for key, value in arguments.items()}))
        for name, arguments in calls
    )
