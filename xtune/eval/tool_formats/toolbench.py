"""ToolBench: the first action that a query is answered with.

    {"conversations": [
        {"from": "system", "value": "You have access to these APIs: ..."},
        {"from": "user", "value": "Time in Rome?"},
        {"from": "assistant", "value": "Thought: ...\\nAction: clock\\nAction Input: {...}"}]}

The tools stand in the system text, with the form to answer in, and are not given a second time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xtune.agents.react_text import read_react
from xtune.data.map_fns.toolbench import toolbench_map_fn
from xtune.errors import DataError
from xtune.eval.tool_formats.case import ToolCase, plain_calls

__all__ = ["read_toolbench"]


def read_toolbench(row: Mapping[str, Any]) -> ToolCase:
    """Read `conversations`; the prompt is what stands before the first answer.

    An answer that finishes at once (Action: Finish) needs no call.

    Raises:
        DataError: there is no query and answer, or the answer holds no action.
    """
    messages = toolbench_map_fn(dict(row)).get("messages", [])
    at = next((at for at, one in enumerate(messages) if one["role"] == "assistant"), 0)
    if not any(one["role"] == "user" for one in messages[:at]):
        raise DataError("field 'conversations' has no query with an answer after it")
    answer = messages[at]["content"]
    turn = read_react(answer, {})
    if turn.malformed:
        raise DataError(f"the answer's action cannot be read: {turn.malformed}")
    calls = [(call.name, call.arguments) for call in turn.calls[:1]]
    return ToolCase(
        messages=messages[:at],
        tools=[],
        accepted=(plain_calls(*calls),) if calls else (),
        kind="action" if calls else "finish",
        expected=answer if calls else "",
        first_only=True,
    )
