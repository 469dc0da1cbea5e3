"""POST /v1/responses: OpenAI's newer form of the same questions, without any memory of them.

What is asked is translated to a chat completion, and its deltas to items and events:

    input, instructions                     -> messages
    function_call, function_call_output     -> an assistant's tool_calls, a tool's message
    content deltas                          -> response.output_text.delta within one message item
    a call                                  -> a function_call item of its own
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from xtune.serve.api.chat_completions import Asked, asked_of, notice_headers, usage_of
from xtune.serve.api.choice import Choice
from xtune.serve.api.context import ApiContext, context_of
from xtune.serve.api.errors import ApiError, unsupported
from xtune.serve.api.fields import Fields
from xtune.serve.api.stream import event_stream, first_of
from xtune.serve.engine.questions import End, Piece

__all__ = ["responses"]

_SAME = ("temperature", "top_p", "parallel_tool_calls", "top_k", "seed", "user", "metadata")
_TEXT_PARTS = ("input_text", "output_text", "text")


async def responses(request: Request) -> Response:
    """Answer."""
    context = context_of(request)
    body = await context.body(request)
    fields = Fields(body)
    model = context.model(fields.take_any("model"))
    streams = fields.take("stream", "true or false", False)
    chat, shown = _as_chat(fields)
    asked = await asked_of(context, Fields(chat), model)
    answer = _Answer(context, asked, shown)
    headers = notice_headers(asked.sampling.notices)
    if streams:
        events = await context.unless_gone(request, first_of(answer.events()))
        return event_stream(events, headers, named=True)
    return JSONResponse(await context.unless_gone(request, answer.whole()), headers=headers)


def _as_chat(fields: Fields) -> tuple[dict[str, Any], dict[str, Any]]:
    """The body of a chat completion that asks the same, and what of the request is shown."""
    for name in ("previous_response_id", "conversation"):
        if fields.take_any(name) is not None:
            raise unsupported(name, "nothing is kept here; send the whole dialogue as input")
    if fields.take("store", "true or false", False):
        raise unsupported("store", "nothing is kept here; allowed: false")
    if fields.take("background", "true or false", False):
        raise unsupported("background", "nothing is kept here; allowed: false")
    if (truncation := fields.take("truncation", "a string", "disabled")) != "disabled":
        raise fields.refusal("truncation", f"is {truncation!r}; allowed: disabled")
    if included := fields.take("include", "a list", []):
        raise unsupported("include", f"{included[0]!r} is not given; leave it out")
    instructions = fields.take("instructions", "a string")
    limit = fields.take("max_output_tokens", "an integer")
    tools = fields.take("tools", "a list", [])
    choice = fields.take_any("tool_choice")
    form = fields.within("text")
    wanted = form.take("format", "an object", {"type": "text"})
    form.refuse_rest()
    same = {name: value for name in _SAME if (value := fields.take_any(name)) is not None}
    messages = _messages(fields.take_any("input"))
    fields.refuse_rest()
    if instructions is not None:
        messages.insert(0, {"role": "system", "content": instructions})
    if wanted.get("type") == "json_schema":
        rest = {name: value for name, value in wanted.items() if name != "type"}
        wanted = {"type": "json_schema", "json_schema": rest}
    chat = {
        **same,
        "messages": messages,
        "tools": [_tool(tool, at) for at, tool in enumerate(tools, start=1)],
        "response_format": wanted,
        "max_completion_tokens": limit,
    }
    if isinstance(choice, dict) and "name" in choice:
        choice = {"type": "function", "function": {"name": choice["name"]}}
    chat["tool_choice"] = choice
    shown = {
        "instructions": instructions,
        "max_output_tokens": limit,
        "tools": tools,
        "tool_choice": "auto" if choice is None else choice,
        "parallel_tool_calls": same.get("parallel_tool_calls", True),
        "temperature": same.get("temperature", 1.0),
        "top_p": same.get("top_p", 1.0),
        "metadata": same.get("metadata", {}),
        "text": {"format": {"type": wanted.get("type")}},
    }
    return chat, shown


def _messages(given: Any) -> list[dict[str, Any]]:
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    if not isinstance(given, list) or not all(isinstance(item, dict) for item in given):
        raise ApiError(400, "input must be a text or a list of items", param="input")
    messages: list[dict[str, Any]] = []
    for item in given:
        kind = item.get("type", "message")
        if kind == "function_call":
            function = {"name": item.get("name"), "arguments": item.get("arguments")}
            call = {"id": item.get("call_id"), "type": "function", "function": function}
            if not (messages and "tool_calls" in messages[-1]):
                messages.append({"role": "assistant", "content": None, "tool_calls": []})
            messages[-1]["tool_calls"].append(call)
        elif kind == "function_call_output":
            result = {"role": "tool", "tool_call_id": item.get("call_id")}
            messages.append({**result, "content": _text(item.get("output"))})
        elif kind == "message":
            messages.append({"role": item.get("role"), "content": _text(item.get("content"))})
        else:
            raise ApiError(400, f"input has an item of type {kind!r}", param="input")
    return messages


def _text(content: Any) -> Any:
    if not isinstance(content, list):
        return content
    parts = []
    for part in content:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in _TEXT_PARTS:
            raise ApiError(400, f"input has a part of type {kind!r}; only text is read")
        parts.append({"type": "text", "text": part.get("text")})
    return parts


def _tool(tool: Any, number: int) -> dict[str, Any]:
    """A tool as chat completions have it: there the function is an object of its own."""
    if not isinstance(tool, dict) or tool.get("type") != "function":
        kind = tool.get("type") if isinstance(tool, dict) else tool
        raise unsupported(
            "tools", f"tool {number} is {str(kind)[:40]!r}; only functions are called"
        )
    function = {name: value for name, value in tool.items() if name not in ("type", "strict")}
    return {"type": "function", "function": function}


class _Answer:
    """One response, as events; the last of them holds the whole.

    Args:
        context: who is asked.
        asked: what.
        shown: of the request.
    """

    def __init__(self, context: ApiContext, asked: Asked, shown: Mapping[str, Any]) -> None:
        self._context = context
        self._asked = asked
        self._choice: Choice = asked.choices()[0]
        self._output: list[dict[str, Any]] = []
        self._number = -1
        self._response: dict[str, Any] = {
            "id": f"resp_{secrets.token_hex(12)}",
            "object": "response",
            "created_at": int(time.time()),
            "model": asked.model.id,
            "status": "in_progress",
            "error": None,
            "incomplete_details": None,
            "previous_response_id": None,
            "output": [],
            **shown,
        }

    async def whole(self) -> dict[str, Any]:
        """Return the response when it is complete."""
        async for _ in self.events():
            pass
        return self._response

    async def events(self) -> AsyncIterator[dict[str, Any] | None]:
        """Give the events of a stream."""
        began = False
        async for event in self._context.answers(self._asked.questions):
            if not began:
                began = True
                yield self._event("created", response=dict(self._response))
                yield self._event("in_progress", response=dict(self._response))
            if event is None:
                yield None
                continue
            if isinstance(event, Piece):
                deltas = self._choice.push(event)
            elif isinstance(event, End):
                deltas = self._choice.end(event)
            for delta in deltas:
                for made in self._text(delta.content) if delta.content else ():
                    yield made
                for made in self._call(delta.call) if delta.call else ():
                    yield made
        for made in self._close_text():
            yield made
        cut = self._choice.finish_reason == "length"
        usage = usage_of(len(self._asked.prompt), [self._choice])
        self._response |= {
            "status": "incomplete" if cut else "completed",
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "output": self._output,
            "usage": {
                "input_tokens": usage["prompt_tokens"],
                "input_tokens_details": usage["prompt_tokens_details"] | {"cache_write_tokens": 0},
                "output_tokens": usage["completion_tokens"],
                "output_tokens_details": {"reasoning_tokens": 0},
                "total_tokens": usage["total_tokens"],
            },
        }
        yield self._event("incomplete" if cut else "completed", response=self._response)

    def _text(self, text: str) -> list[dict[str, Any]]:
        made = []
        if not (self._output and self._output[-1]["type"] == "message"):
            item = {"id": f"msg_{secrets.token_hex(12)}", "type": "message", "role": "assistant"}
            self._output.append({**item, "status": "in_progress", "content": []})
            made.append(self._item_event("output_item.added", item=dict(self._output[-1])))
            self._output[-1]["content"] = [_part("")]
            made.append(self._part_event("content_part.added", part=_part("")))
        self._output[-1]["content"][0]["text"] += text
        made.append(self._part_event("output_text.delta", delta=text, logprobs=[]))
        return made

    def _close_text(self) -> list[dict[str, Any]]:
        if not (self._output and self._output[-1].get("status") == "in_progress"):
            return []
        item = self._output[-1]
        item["status"] = "incomplete" if self._choice.finish_reason == "length" else "completed"
        text = item["content"][0]["text"]
        return [
            self._part_event("output_text.done", text=text, logprobs=[]),
            self._part_event("content_part.done", part=_part(text)),
            self._item_event("output_item.done", item=dict(item)),
        ]

    def _call(self, call: Mapping[str, Any]) -> list[dict[str, Any]]:
        made = self._close_text()
        function = call["function"]
        item = {
            "id": f"fc_{secrets.token_hex(12)}",
            "type": "function_call",
            "call_id": call["id"],
            "name": function["name"],
            "arguments": "",
        }
        self._output.append({**item, "status": "in_progress"})
        made.append(self._item_event("output_item.added", item=dict(self._output[-1])))
        about = {"item_id": item["id"]}
        arguments = function["arguments"]
        made.append(self._item_event("function_call_arguments.delta", delta=arguments, **about))
        made.append(
            self._item_event(
                "function_call_arguments.done",
                arguments=arguments,
                name=function["name"],
                **about,
            )
        )
        self._output[-1] |= {"arguments": arguments, "status": "completed"}
        made.append(self._item_event("output_item.done", item=dict(self._output[-1])))
        return made

    def _event(self, name: str, /, **fields: Any) -> dict[str, Any]:
        self._number += 1
        return {"type": f"response.{name}", "sequence_number": self._number, **fields}

    def _item_event(self, name: str, /, **fields: Any) -> dict[str, Any]:
        return self._event(name, output_index=len(self._output) - 1, **fields)

    def _part_event(self, name: str, /, **fields: Any) -> dict[str, Any]:
        about = {"item_id": self._output[-1]["id"], "content_index": 0}
        return self._item_event(name, **about, **fields)


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
