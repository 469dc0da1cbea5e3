"""The Berkeley Function-Calling Leaderboard: single-turn rows, calls checked by their values.

    {"id": "parallel_0", "question": [[{"role": "user", "content": "2+3 and 4+5?"}]],
     "function": [{"name": "add", "description": "Add.", "parameters": {"type": "dict", ...}}],
     "ground_truth": [{"add": {"a": [2], "b": [3, ""]}}, {"add": {"a": [4], "b": [5]}}]}

Any listed value is right, and "" among them means that the argument may be left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from xtune.data.map_fns.dialogue import checked_messages
from xtune.errors import DataError
from xtune.eval.tool_formats.case import CallFields, ExpectedCall, ToolCase, as_function
from xtune.structures import Message

__all__ = ["read_bfcl"]

_KIND = re.compile(r"(?:live_)?(parallel_multiple|parallel|multiple|simple|irrelevance|relevance)")
# Python's and Java's names of types; what is not here is JSON schema's already
_TYPES = {"dict": "object", "float": "number", "double": "number", "long": "integer"}
_TYPES |= {
    "tuple": "array",
    "list": "array",
    "bool": "boolean",
    "str": "string",
    "hashmap": "object",
}


def read_bfcl(row: Mapping[str, Any]) -> ToolCase:
    """Read `id`, `question`, `function` and `ground_truth`.

    Raises:
        DataError: a field is missing or of another form; several turns; no answers.
    """
    name = str(row.get("id", ""))
    found = _KIND.match(name)
    kind = found[1] if found else re.sub(r"[_\d-]+$", "", name) or "all"
    functions = row.get("function")
    functions = [functions] if isinstance(functions, Mapping) else functions
    if not isinstance(functions, list):
        raise DataError("field 'function' must be a list of {name, description, parameters}")
    truth = row.get("ground_truth")
    if kind == "irrelevance":
        truth = []
    elif not isinstance(truth, list) or not truth:
        raise DataError(
            f"row {name!r} has no ground_truth: give the file of them with tool_calls.answers=FILE"
        )
    return ToolCase(
        messages=_messages(row.get("question")),
        tools=[_tool(each) for each in functions],
        accepted=(tuple(map(_expected, truth)),) if truth else (),
        kind=kind,
        expected=json.dumps(truth, ensure_ascii=False) if truth else "",
    )


def _messages(question: object) -> list[Message]:
    if isinstance(question, str):
        question = [{"role": "user", "content": question}]
    if isinstance(question, list) and question and isinstance(question[0], list):
        if len(question) > 1:
            raise DataError(f"it has {len(question)} turns; single-turn rows can be measured")
        question = question[0]
    if not isinstance(question, list) or not question:
        raise DataError("field 'question' must be [[{role, content}]] or [{role, content}]")
    return checked_messages(question)


def _tool(raw: object) -> dict[str, Any]:
    made = as_function(raw)
    made["function"]["parameters"] = _schema(made["function"]["parameters"])
    return made


def _schema(raw: Any) -> Any:
    """Their schema as JSON schema; names of properties are left alone, whatever they are."""
    if not isinstance(raw, Mapping):
        return raw
    made = dict(raw)
    if isinstance(kind := raw.get("type"), str):
        kind = kind.lower()
        made["type"] = _TYPES.get(kind, kind)
        if kind == "any":
            del made["type"]
    if isinstance(properties := raw.get("properties"), Mapping):
        made["properties"] = {key: _schema(value) for key, value in properties.items()}
    for key in ("items", "additionalProperties"):
        if key in raw:
            made[key] = _schema(raw[key])
    return made


def _expected(raw: object) -> ExpectedCall:
    if not isinstance(raw, Mapping) or len(raw) != 1:
        raise DataError(f"a ground truth must be {{name: {{argument: [values]}}}}: {str(raw)[:80]}")
    ((name, arguments),) = raw.items()
    return ExpectedCall(str(name), _fields(arguments))


def _fields(raw: object) -> CallFields:
    if not isinstance(raw, Mapping) or not all(isinstance(each, list) for each in raw.values()):
        raise DataError(f"arguments must be {{argument: [allowed values]}}: {str(raw)[:80]}")
    optional = frozenset(name for name, values in raw.items() if "" in values)
    # '' is also a value: an argument given as empty text
    return CallFields({name: _values(raw[name]) for name in raw}, optional, loose_text=True)


def _values(raw: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(map(_value, raw))


def _value(raw: Any) -> Any:
    """An object in a value holds lists of allowed values itself."""
    if isinstance(raw, Mapping):
        each_is_list = all(isinstance(value, list) for value in raw.values())
        return _fields(raw) if each_is_list else dict(raw)
    return list(map(_value, raw)) if isinstance(raw, list) else raw
