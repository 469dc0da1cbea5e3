"""MSAgent-Bench for a ReAct agent: thought, action, response, final answer."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from xtune.data.map_fns.base import UnusableRow, is_blank
from xtune.data.map_fns.dialogue import dialogue
from xtune.data.map_fns.msagent import Step, said_in, steps
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["REACT_ZH", "msagent_react_map_fn", "unfenced"]

_FENCE = re.compile(r"\A```\w*|```\Z")
_PLUGIN = re.compile(r'\{\s*"plugin_name"')
# What a ReAct agent is told; chat tells it the same
REACT_ZH = """\
你可以使用下列工具：
{tools}

需要使用工具时，请按以下格式回答：
Thought:你的思考
Action:工具的名称，必须是 [{names}] 之一
Action Input:工具的参数，JSON 格式
随后你会收到以 Response: 开头的工具结果。
不再需要工具时，请按以下格式回答：
Final Answer:最终的答案"""


@MAP_FNS.register_module("msagent_react")
def msagent_react_map_fn(row: dict[str, Any]) -> Conversation:
    r"""Read `conversations` of {from, value}, as `msagent` does, and rewrite them for ReAct.

    The plugins in the system text become a list of tools with instructions in Chinese, the
    language of the data; a call becomes Thought, Action and Action Input; a result the system
    message Response, which is not trained; the rest of an answer Final Answer.

    >>> msagent_react_map_fn({'conversations': [
    ...     {'from': 'user', 'value': 'Time?'},
    ...     {'from': 'assistant', 'value': 'I look. <|startofthink|>```JSON\n{"api_name": "clock", '
    ...         '"parameters": {"city": "Rome"}}\n```<|endofthink|>'
    ...         '<|startofexec|>```JSON\n{"result": "12:00"}\n```<|endofexec|>Noon.'}]}
    ...     )['messages'][1:] # doctest: +NORMALIZE_WHITESPACE
    [{'role': 'assistant',
      'content': 'Thought:I look.\nAction:clock\nAction Input:{"city": "Rome"}'},
     {'role': 'system', 'content': 'Response:{"result": "12:00"}'},
     {'role': 'assistant', 'content': 'Final Answer:Noon.'}]

    Raises:
        UnusableRow: an empty request or answer, a block that does not end, a call or a plugin
            that is no JSON, or nothing to train on.
        DataError: `conversations` is missing or of another form.
    """
    messages: list[dict[str, Any]] = []
    for message in said_in(row):
        text = message["content"]
        if message["role"] == "system":
            messages.append({**message, "content": _instructions(text)})
        elif message["role"] == "assistant" and not is_blank(text):
            messages += [_rewritten(step) for step in steps(text)]
        else:
            messages.append(message)
    return dialogue(messages)


def _rewritten(step: Step) -> dict[str, Any]:
    if step.kind == "exec":
        return {"role": "system", "content": f"Response:{unfenced(step.block)}"}
    if not step.kind:
        return {"role": "assistant", "content": f"Final Answer:{step.said}"}
    call = _json(unfenced(step.block), "a call that is no JSON")
    if not isinstance(call, Mapping) or not isinstance(call.get("api_name"), str):
        raise UnusableRow("a call without a name")
    given = json.dumps(call.get("parameters") or {}, ensure_ascii=False)
    lines = [f"Action:{call['api_name']}", f"Action Input:{given}"]
    if step.said:
        lines.insert(0, f"Thought:{step.said}")
    return {"role": "assistant", "content": "\n".join(lines)}


def unfenced(block: str) -> str:
    """Return what stands in a block, without the fence of Markdown that may be around it."""
    return _FENCE.sub("", block.strip()).strip()


def _instructions(system: str) -> str:
    """The system text of a ReAct agent with these plugins; one without plugins as it is."""
    tools = dict(_tools(system))
    if not tools:
        return system
    listed = "\n".join(f"- {name}：{about}" for name, about in tools.items())
    return REACT_ZH.format(tools=listed, names=", ".join(tools))


def _tools(system: str) -> Iterator[tuple[str, str]]:
    """Name and description of each plugin; of one that is listed twice, the last."""
    for found in _PLUGIN.finditer(system):
        plugin = _json(system[found.start() :], "a plugin that is no JSON", to_its_end=False)
        about = plugin.get("plugin_schema_for_model")
        about = about if isinstance(about, Mapping) else {}
        paths = about.get("paths")
        parameters: Any = []
        if isinstance(paths, list) and paths and isinstance(paths[0], Mapping):
            parameters = paths[0].get("parameters") or []
        given = json.dumps(parameters, ensure_ascii=False)
        yield str(plugin["plugin_name"]), f"{about.get('description') or ''} 参数：{given}"


def _json(text: str, reason: str, *, to_its_end: bool = True) -> Any:
    """Parse a text, or the value that it begins with; raw line breaks in strings are allowed."""
    decoder = json.JSONDecoder(strict=False)
    try:
        return decoder.decode(text) if to_its_end else decoder.raw_decode(text)[0]
    except (ValueError, RecursionError) as error:
        raise UnusableRow(reason) from error
