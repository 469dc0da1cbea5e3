"""MSAgent's calls in a dialogue, as `msagent` trains them.

    assistant  I look.\\n<|startofthink|>```JSON\\n{"api_name": "clock", …}\\n```<|endofthink|>
    system     <|startofexec|>```JSON\\n{"result": "12:00"}\\n```<|endofexec|>
    assistant  Noon.

What the model thinks is its answer; what came of a call is the system message of the next turn. The
tools stand in the system prompt in the data's own form, plugin by plugin.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from xtune.agents.base import Step, Tools
from xtune.agents.forms import Turn
from xtune.data.map_fns.base import UnusableRow
from xtune.data.map_fns.msagent import steps
from xtune.data.map_fns.msagent_react import unfenced
from xtune.data.tool_calls import Call, refuse_constant
from xtune.generation.reply import Reply
from xtune.structures import Message
from xtune.tools.spec import ToolSpec

__all__ = ["MSAgentForm", "exec_block", "think_block"]

_OPENS, _CLOSES = "<|startofthink|>", "<|endofthink|>"


class MSAgentForm:
    """Think blocks, exec blocks.

    Args:
        tools: the tool box.
    """

    stop: tuple[str, ...] = (_CLOSES,)

    def __init__(self, tools: Tools) -> None:
        self.tools: list[dict[str, Any]] = []
        self.instructions = "\n\n".join(
            f"{number}. {json.dumps(_plugin(spec), ensure_ascii=False)}"
            for number, spec in enumerate(tools.specs, start=1)
        )

    def read(self, reply: Reply) -> Turn:
        """Say what a turn means: without a think block it is an answer."""
        if _OPENS not in reply.written:
            answer = reply.message["content"].strip()
            return Turn(answer=answer) if answer else Turn(malformed="it is empty")
        said, _, block = _up_to_the_call(reply.written).partition(_OPENS)
        said = said.strip()
        text = unfenced(block.removesuffix(_CLOSES))
        try:
            call = json.JSONDecoder(strict=False, parse_constant=refuse_constant).decode(text)
        except (ValueError, RecursionError) as error:
            return Turn(thought=said, malformed=f"the call is no JSON ({error}): {text[:80]!r}")
        name = call.get("api_name") if isinstance(call, dict) else None
        given = (call.get("parameters") or {}) if isinstance(call, dict) else None
        if not isinstance(name, str) or not isinstance(given, dict):
            return Turn(
                thought=said,
                malformed=f'a call is {{"api_name": …, "parameters": {{…}}}}, not {text[:80]!r}',
            )
        return Turn(thought=said, calls=(Call(name, given),))

    def said(self, reply: Reply, turn: Turn) -> Message:
        """Return the turn as it was trained, up to the end of its call.

        Args: as `Form.said`.
        """
        if turn.answer is not None:
            return {"role": "assistant", "content": turn.answer}
        text = _up_to_the_call(reply.written)
        try:
            step = steps(text)[0]
        except UnusableRow:  # marks within marks
            return {"role": "assistant", "content": text}
        block = f"{_OPENS}{step.block}{_CLOSES}"
        return {"role": "assistant", "content": f"{step.said}\n{block}" if step.said else block}

    def heard(self, steps: Sequence[Step], calls: Sequence[Call]) -> list[Message]:
        """Return each result as a system message.

        Args: as `Form.heard`.
        """
        return [{"role": "system", "content": exec_block(step.result)} for step in steps]


def think_block(call: Call) -> str:
    """Return a call as a model is trained to write it.

    >>> think_block(Call("clock", {}))
    '<|startofthink|>```JSON\\n{"api_name": "clock", "parameters": {}}\\n```<|endofthink|>'
    """
    written = {"api_name": call.name, "parameters": call.arguments}
    return f"{_OPENS}```JSON\n{json.dumps(written, ensure_ascii=False)}\n```{_CLOSES}"


def exec_block(result: str) -> str:
    """Return a result as the model is told it.

    >>> exec_block("12:00")
    '<|startofexec|>```JSON\\n{"result": "12:00"}\\n```<|endofexec|>'
    """
    written = json.dumps({"result": result}, ensure_ascii=False)
    return f"<|startofexec|>```JSON\n{written}\n```<|endofexec|>"


def _up_to_the_call(written: str) -> str:
    """What was written up to the end of its first call; the mark may have ended it and be lost."""
    before, _, after = written.partition(_OPENS)
    return f"{before}{_OPENS}{after.partition(_CLOSES)[0]}{_CLOSES}"


def _plugin(spec: ToolSpec) -> dict[str, Any]:
    """A tool as MSAgent-Bench describes it, without the address that only their service has."""
    needed = spec.parameters.get("required", ())
    parameters = [
        {
            "name": name,
            "description": about.get("description", ""),
            "required": str(name in needed),
        }
        for name, about in spec.parameters.get("properties", {}).items()
    ]
    path = {"name": spec.name, "description": spec.description, "parameters": parameters}
    schema = {"name": spec.name, "description": spec.description, "paths": [path]}
    return {"plugin_name": spec.name, "plugin_schema_for_model": schema}
