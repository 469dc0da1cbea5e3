"""Rows of our own, as the map_fn `openai` reads them: what follows the last request is expected.

{"messages": [{"role": "user", "content": "2+3?"},
              {"role": "assistant", "content": "", "tool_calls": [{"function":
                  {"name": "add", "arguments": {"a": 2, "b": 3}}}]}],
 "tools": [...], "kind": "sum"}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from xtune.data.map_fns.openai import openai_map_fn
from xtune.data.tool_calls import call_in
from xtune.errors import DataError
from xtune.eval.tool_formats.case import ToolCase, as_function, plain_calls

__all__ = ["read_openai"]


def read_openai(row: Mapping[str, Any]) -> ToolCase:
    """Read `messages`, `tools` and `kind`.

    Expected is the first answer to the last message of the user: its `tool_calls`, the JSON call
    that its text is, or no call. What follows it (results, the answer made of them) is left out.

    Raises:
        DataError: the row is not of this form, or the last request has no answer.
    """
    read = openai_map_fn(dict(row))
    messages = read["messages"]
    asked = max((at for at, one in enumerate(messages) if one["role"] == "user"), default=-1)
    after = range(asked + 1, len(messages))
    at = next((at for at in after if messages[at]["role"] == "assistant"), None)
    if asked < 0 or at is None:
        raise DataError("the last message of the user has no assistant's answer after it")
    answer = messages[at]
    functions = [part["function"] for part in answer.get("tool_calls", ())]
    if not functions and (call := call_in(answer["content"])):
        functions = [call]
    calls = [(each["name"], each["arguments"]) for each in functions]
    shown = [{"name": name, "arguments": arguments} for name, arguments in calls]
    return ToolCase(
        messages=messages[:at],
        tools=[as_function(tool) for tool in read.get("tools", ())],
        accepted=(plain_calls(*calls),) if calls else (),
        kind=str(row.get("kind", "all")),
        expected="\n".join(json.dumps(each, ensure_ascii=False) for each in shown),
    )
