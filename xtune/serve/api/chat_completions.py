"""POST /v1/chat/completions: a dialogue in, an answer or a stream of its parts out."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from xtune.data.map_fns.dialogue import checked_messages
from xtune.data.map_fns.tools import tools_of
from xtune.errors import DataError, UsageError
from xtune.generation.row import Guide, Noted
from xtune.serve.api.choice import Choice, Delta
from xtune.serve.api.context import ApiContext, context_of, in_thread
from xtune.serve.api.errors import ApiError, unsupported
from xtune.serve.api.fields import Fields
from xtune.serve.api.log_probs import chat_log_probs
from xtune.serve.api.sampling import Sampling, limit_of, sampling_of, stream_of
from xtune.serve.api.stream import event_stream, first_of
from xtune.serve.engine.questions import End, Piece, Question
from xtune.serve.guides import call_guide, json_guide
from xtune.serve.served import ServedModel
from xtune.structures import Message

__all__ = [
    "Asked",
    "asked_of",
    "chat_completions",
    "dialogue_of",
    "messages_of",
    "notice_headers",
    "usage_of",
    "without_empty_answers",
]

_MOST_TOP = 20


@dataclass(slots=True)
class Asked:
    """A request that can be answered.

    Attributes:
        model: that answers.
        prompt: token ids.
        questions: one for each answer.
        tools: that it may call.
        most_calls: that are passed on; None: all.
        opens_thinking: the prompt ends within reasoning.
        top: how many others are told of each token; None: no token is.
        sampling: how the answers are written.
    """

    model: ServedModel
    prompt: list[int]
    questions: list[Question]
    tools: list[dict[str, Any]]
    most_calls: int | None
    opens_thinking: bool
    top: int | None
    sampling: Sampling

    def choices(self) -> list[Choice]:
        """Return an empty answer for each question."""
        return [
            Choice(
                self.model,
                with_tools=bool(self.tools),
                opens_thinking=self.opens_thinking,
                most_calls=self.most_calls,
            )
            for _ in self.questions
        ]


async def chat_completions(request: Request) -> Response:
    """Answer a dialogue."""
    context = context_of(request)
    fields = Fields(await context.body(request))
    model = context.model(fields.take_any("model"))
    streams, with_usage = stream_of(fields)
    asked = await asked_of(context, fields, model)
    headers = notice_headers(asked.sampling.notices)
    id, created = f"chatcmpl-{secrets.token_hex(12)}", int(time.time())
    about = {"id": id, "created": created, "model": model.id}
    if streams:
        chunks = _chunks(context, asked, about, with_usage=with_usage)
        return event_stream(await context.unless_gone(request, first_of(chunks)), headers)
    whole = await context.unless_gone(request, _whole(context, asked, about))
    return JSONResponse(whole, headers=headers)


async def asked_of(context: ApiContext, fields: Fields, model: ServedModel) -> Asked:
    """Read what is asked; `model` and `stream` are read already.

    Args:
        context: knows how long a prompt may be.
        fields: of the request.
        model: that answers.

    Raises:
        ApiError: what cannot be honoured, by name.
    """
    messages = fields.require("messages", "a list")
    tools, most_calls, forced = _tools(fields)
    top = _top(fields)
    notices: list[str] = []
    limit = limit_of(fields, notices, "max_completion_tokens", "max_tokens")
    sampling = sampling_of(fields, limit, notices, rows=model.rows)
    is_json, schema = _schema(fields)
    fields.refuse_rest()
    if is_json and forced is not None:
        raise unsupported("response_format", "cannot be followed by an answer that must be a call")
    if tools:
        try:
            model.chat.require_tools()
        except UsageError as error:
            raise unsupported("tools", str(error)) from None

    def render() -> tuple[Callable[[], Guide] | None, list[int], bool]:
        guide = _guide(model, tools, forced, is_json, schema)
        prompt = model.render(dialogue_of(messages, model), tools)
        return guide, prompt, model.decode(prompt[-8:]).rstrip().endswith("<think>")

    new_guide, prompt, opens_thinking = await in_thread(render)
    context.require_room(model, [prompt], name="messages")
    questions = [
        Question(
            model.id,
            tuple(prompt),
            sampling.settings_of(number),
            stop=sampling.stop,
            stop_ids=sampling.stop_ids,
            alternatives=top,
            new_guide=new_guide,
            penalty_alpha=sampling.penalty_alpha,
            bias=sampling.bias,
        )
        for number in range(sampling.n)
    ]
    return Asked(model, prompt, questions, tools, most_calls, opens_thinking, top, sampling)


def dialogue_of(raw: Sequence[object], model: ServedModel) -> list[Message]:
    """Return messages as the template takes them, with the system prompt of the training.

    Args:
        raw: as a client sends them.
        model: whose they are for.

    Raises:
        DataError: they are none.
        UsageError: there is nothing to answer.
    """
    return model.chat.dialogue(messages_of(raw))


def messages_of(raw: Sequence[object]) -> list[Message]:
    """Return messages as they are read, whatever they are together.

    Args:
        raw: as a client sends them.

    Raises:
        DataError: they are none.
    """
    for number, message in enumerate(raw, start=1):
        content = message.get("content") if isinstance(message, dict) else None
        for part in content if isinstance(content, list) else ():
            kind = part.get("type") if isinstance(part, dict) else None
            if kind != "text":
                raise DataError(f"message {number} has a part of type {kind!r}; only text is read")
    return checked_messages(without_empty_answers(raw))


def without_empty_answers(raw: Sequence[object]) -> list[object]:
    """Return messages but for answers without a word: a client has shown them, and keeps them.

    Args:
        raw: as a client sends them.
    """
    return [message for message in raw if not _is_empty_answer(message)]


def _is_empty_answer(message: object) -> bool:
    return (
        isinstance(message, dict)
        and message.get("role") == "assistant"
        and not message.get("content")
        and not message.get("tool_calls")
    )


def usage_of(prompt: int, choices: Sequence[Choice]) -> dict[str, Any]:
    """Return how many tokens were read and written.

    Args:
        prompt: tokens of it.
        choices: that have ended.
    """
    written = sum(choice.tokens for choice in choices)
    known = max((choice.known for choice in choices), default=0)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
        "prompt_tokens_details": {"cached_tokens": known},
    }


def notice_headers(notices: Sequence[str]) -> dict[str, str]:
    """Return the header that tells what was taken for something else."""
    return {"X-Xtune-Notice": "; ".join(notices)} if notices else {}


async def _chunks(
    context: ApiContext, asked: Asked, about: dict[str, Any], *, with_usage: bool
) -> AsyncIterator[dict[str, Any] | None]:
    choices = asked.choices()
    # `usage: null` stands in each chunk only where it was asked for
    base = {**about, "object": "chat.completion.chunk"} | ({"usage": None} if with_usage else {})

    def chunk(index: int, delta: dict[str, Any], noted: Sequence[Noted] = (), end: Any = None):
        choice = {"index": index, "delta": delta, "finish_reason": end, "logprobs": None}
        if noted and asked.top is not None:
            choice["logprobs"] = chat_log_probs(asked.model.tokenizer, noted, asked.top)
        return {**base, "choices": [choice]}

    began = False
    async for event in context.answers(asked.questions):
        if not began:
            began = True
            for index in range(len(choices)):
                yield chunk(index, {"role": "assistant", "content": ""})
        if event is None:
            yield None
        elif isinstance(event, Piece):
            for delta in choices[event.index].push(event):
                yield chunk(event.index, _delta(delta), delta.noted)
        elif isinstance(event, End):
            choice = choices[event.index]
            for delta in choice.end(event):
                for part in _call_deltas(delta) or [_delta(delta)]:
                    yield chunk(event.index, part, delta.noted)
                    delta = delta._replace(noted=())
            yield chunk(event.index, {}, end=choice.finish_reason)
    if with_usage:
        yield {**base, "choices": [], "usage": usage_of(len(asked.prompt), choices)}


def _delta(delta: Delta) -> dict[str, Any]:
    return {"reasoning_content": delta.reasoning} if delta.reasoning else {"content": delta.content}


def _call_deltas(delta: Delta) -> list[dict[str, Any]]:
    """A call's name, and then its arguments, as clients gather them."""
    if delta.call is None:
        return []
    index, function = delta.call["index"], delta.call["function"]
    head = {**delta.call, "function": {"name": function["name"], "arguments": ""}}
    rest = {"index": index, "function": {"arguments": function["arguments"]}}
    return [{"tool_calls": [head]}, {"tool_calls": [rest]}]


async def _whole(context: ApiContext, asked: Asked, about: dict[str, Any]) -> dict[str, Any]:
    choices = asked.choices()
    deltas: list[list[Delta]] = [[] for _ in choices]
    async for event in context.answers(asked.questions):
        if isinstance(event, Piece):
            deltas[event.index] += choices[event.index].push(event)
        elif isinstance(event, End):
            deltas[event.index] += choices[event.index].end(event)
    return {
        **about,
        "object": "chat.completion",
        "choices": [
            {
                "index": index,
                "message": _message(parts),
                "finish_reason": choice.finish_reason,
                "logprobs": None
                if asked.top is None
                else chat_log_probs(
                    asked.model.tokenizer,
                    [noted for part in parts for noted in part.noted],
                    asked.top,
                ),
            }
            for index, (choice, parts) in enumerate(zip(choices, deltas, strict=True))
        ],
        "usage": usage_of(len(asked.prompt), choices),
    }


def _message(parts: Sequence[Delta]) -> dict[str, Any]:
    content = "".join(part.content for part in parts)
    calls = [
        {name: value for name, value in part.call.items() if name != "index"}
        for part in parts
        if part.call is not None
    ]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": content if content or not calls else None,
        "refusal": None,
    }
    if calls:
        message["tool_calls"] = calls
    if reasoning := "".join(part.reasoning for part in parts):
        message["reasoning_content"] = reasoning
    return message


def _tools(fields: Fields) -> tuple[list[dict[str, Any]], int | None, str | None]:
    """The tools that the model is given, how many calls are passed on, and which call must be.

    The last is '' for any, None where none must be.
    """
    given = fields.take("tools", "a list", [])
    choice = fields.take_any("tool_choice")
    parallel = fields.take("parallel_tool_calls", "true or false", True)
    try:
        tools = [dict(tool) for tool in tools_of(given)] if given else []
    except DataError as error:
        raise ApiError(400, str(error), param="tools", code="invalid_value") from None
    forced = None
    if choice == "required":
        forced = ""
    elif isinstance(choice, dict):
        function = choice.get("function")
        forced = function.get("name") if isinstance(function, dict) else None
    if forced is None and choice not in (None, "auto", "none"):
        raise fields.refusal(
            "tool_choice",
            f"is {json.dumps(choice)[:60]}; allowed: auto, none, required, or "
            '{"type": "function", "function": {"name": …}}',
        )
    if forced is not None and not tools:
        raise fields.refusal("tool_choice", "asks for a call, and there are no tools")
    if choice == "none":
        tools = []
    return tools, None if parallel else 1, forced


def _top(fields: Fields) -> int | None:
    wanted = fields.take("logprobs", "true or false", False)
    top = fields.take("top_logprobs", "an integer")
    if top is not None and not wanted:
        raise fields.refusal("top_logprobs", "goes with logprobs: true")
    if top is not None and not 0 <= top <= _MOST_TOP:
        raise fields.refusal("top_logprobs", f"is {top}; allowed: 0 to {_MOST_TOP}")
    return (top or 0) if wanted else None


def _schema(fields: Fields) -> tuple[bool, dict[str, Any] | None]:
    """Whether the answer must be JSON, and of which schema."""
    form = fields.within("response_format")
    kind = form.take("type", "a string", "text")
    schema = None
    if kind == "json_schema":
        about = form.within("json_schema")
        schema = about.require("schema", "an object")
        about.take("name", "a string")
        about.take("description", "a string")
        about.take("strict", "true or false")  # it is followed either way
        about.refuse_rest()
    elif kind not in ("text", "json_object"):
        raise form.refusal("type", f"is {kind!r}; allowed: text, json_object, json_schema")
    form.refuse_rest()
    return kind != "text", schema


def _guide(
    model: ServedModel,
    tools: Sequence[dict[str, Any]],
    forced: str | None,
    is_json: bool,
    schema: dict[str, Any] | None,
) -> Callable[[], Guide] | None:
    """What the answer must be; None: anything."""
    name = "response_format" if is_json else "tool_choice"
    try:
        if is_json:
            return json_guide(model, schema)
        return None if forced is None else call_guide(model, tools, forced or None)
    except UsageError as error:
        raise unsupported(name, str(error)) from None
