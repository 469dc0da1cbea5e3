"""POST /v1/completions: text or token ids in, what comes next out; no template is put around it."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from xtune.serve.api.chat_completions import notice_headers, usage_of
from xtune.serve.api.choice import Choice
from xtune.serve.api.context import ApiContext, context_of, in_thread
from xtune.serve.api.errors import ApiError
from xtune.serve.api.fields import Fields
from xtune.serve.api.log_probs import completion_log_probs
from xtune.serve.api.sampling import limit_of, sampling_of, stream_of
from xtune.serve.api.stream import event_stream, first_of
from xtune.serve.engine.questions import End, Piece, Question, Read
from xtune.serve.served import ServedModel

__all__ = ["completions", "prompts_of"]

_TOKENS = 16  # of an answer, where nothing is said: OpenAI's default of this endpoint
_MOST_PROMPTS = 256
_MOST_TOP = 20


async def completions(request: Request) -> Response:
    """Go on with prompts."""
    context = context_of(request)
    fields = Fields(await context.body(request))
    model = context.model(fields.take_any("model"))
    streams, with_usage = stream_of(fields)
    given = fields.take_any("prompt")
    notices: list[str] = []
    limit = limit_of(fields, notices, "max_tokens")
    echoes = fields.take("echo", "true or false", False)
    # nothing is written where only the prompt is asked for
    written = _TOKENS if limit is None else limit or 1
    sampling = sampling_of(fields, written, notices, rows=model.rows)
    top = fields.take("logprobs", "an integer")
    if top is not None and not 0 <= top <= _MOST_TOP:
        raise fields.refusal("logprobs", f"is {top}; allowed: 0 to {_MOST_TOP}")
    fields.refuse_rest()
    prompts = await prompts_of(context, model, given, name="prompt")
    questions = [
        Question(
            model.id,
            tuple(prompt),
            sampling.settings_of(number),
            stop=sampling.stop,
            stop_ids=sampling.stop_ids,
            alternatives=top,
            is_chat=False,
            penalty_alpha=sampling.penalty_alpha,
            bias=sampling.bias,
            reads=echoes and top is not None,
            writes=limit != 0,
        )
        for prompt in prompts
        for number in range(sampling.n)
    ]
    about = {
        "id": f"cmpl-{secrets.token_hex(12)}",
        "object": "text_completion",
        "created": int(time.time()),
        "model": model.id,
    }
    read = sum(map(len, prompts))
    headers = notice_headers(sampling.notices)
    texts = await in_thread(lambda: _echoed(model, given, questions)) if echoes else None
    chunks = _chunks(context, model, questions, top, about, texts)
    if streams:
        counted = _with_usage(chunks, read) if with_usage else _without_usage(chunks)
        return event_stream(await context.unless_gone(request, first_of(counted)), headers)
    whole = await context.unless_gone(request, _whole(chunks, len(questions), about, read))
    return JSONResponse(whole, headers=headers)


async def prompts_of(
    context: ApiContext,
    model: ServedModel,
    given: Any,
    *,
    name: str,
    most: int = _MOST_PROMPTS,
) -> list[list[int]]:
    """Return the prompts of a request as token ids.

    Args:
        context: knows how long they may be.
        model: whose tokens they are.
        given: a text, texts, token ids, or lists of these.
        name: of the field.
        most: that may be given.

    Raises:
        ApiError: it is none of these, or too long.
    """
    many = [given] if isinstance(given, str) or _are_ids(given) else given
    if not isinstance(many, list) or not many or not all(map(_is_prompt, many)):
        raise ApiError(
            400,
            f"{name} must be a text, a list of texts, token ids, or a list of such lists; none "
            "empty",
            param=name,
            code="invalid_value",
        )
    if len(many) > most:
        raise ApiError(400, f"{name} has {len(many)}; allowed: {most}", param=name)

    def encode() -> list[list[int]]:
        return [
            model.encode(each, add_special=True) if isinstance(each, str) else each for each in many
        ]

    prompts = await in_thread(encode)
    rows = model.rows
    highest = max(max(prompt, default=0) for prompt in prompts)
    if highest >= rows:
        raise ApiError(
            400,
            f"{name} has the token id {highest}, and {model.id!r} has {rows} tokens: send texts, "
            "or ids of its own tokenizer (LangChain sends those of OpenAI's, unless "
            "OpenAIEmbeddings(check_embedding_ctx_length=False))",
            param=name,
            code="invalid_value",
        )
    context.require_room(model, prompts, name=name)
    return prompts


async def _chunks(
    context: ApiContext,
    model: ServedModel,
    questions: list[Question],
    top: int | None,
    about: dict[str, Any],
    echoed: list[str] | None,
) -> AsyncIterator[tuple[dict[str, Any], Choice] | None]:
    """Chunks of all answers, each with its choice; the first is the prompt where it is echoed."""
    # who scores a prompt takes the last number off, which is that of the one token asked for
    choices = [
        Choice(model, with_tools=False, is_chat=False, notes_end=echoed is not None)
        for _ in questions
    ]
    lengths = [0] * len(questions)

    def chunk(
        index: int,
        text: str,
        noted: Any = (),
        end: str | None = None,
        first: int | None = None,
    ) -> dict[str, Any]:
        logprobs = None
        if top is not None and (noted or first is not None):
            logprobs = completion_log_probs(
                model.tokenizer, noted, top, lengths[index], first=first
            )
        lengths[index] += len(text)
        choice = {"index": index, "text": text, "finish_reason": end, "logprobs": logprobs}
        return {**about, "choices": [choice]}

    begun = echoed is None
    async for event in context.answers(questions):
        if not begun and echoed is not None:
            begun = True
            for index, question in enumerate(questions):
                if top is None:
                    yield chunk(index, echoed[index]), choices[index]
                elif len(question.prompt) == 1:  # there is nothing to read it by
                    yield (
                        chunk(index, echoed[index], first=question.prompt[0]),
                        choices[index],
                    )
        if event is None:
            yield None
        elif isinstance(event, Read) and echoed is not None:
            index = event.index
            first = questions[index].prompt[0]
            yield chunk(index, echoed[index], event.noted, first=first), choices[index]
        elif isinstance(event, Piece):
            choice = choices[event.index]
            for delta in choice.push(event):
                yield chunk(event.index, delta.content, delta.noted), choice
        elif isinstance(event, End):
            choice = choices[event.index]
            for delta in choice.end(event):
                yield chunk(event.index, delta.content, delta.noted), choice
            yield chunk(event.index, "", end=choice.finish_reason), choice


async def _without_usage(
    chunks: AsyncIterator[tuple[dict[str, Any], Choice] | None],
) -> AsyncIterator[dict[str, Any] | None]:
    async for pair in chunks:
        yield None if pair is None else pair[0]


async def _with_usage(
    chunks: AsyncIterator[tuple[dict[str, Any], Choice] | None], read: int
) -> AsyncIterator[dict[str, Any] | None]:
    seen: dict[int, Choice] = {}
    chunk: dict[str, Any] = {}
    async for pair in chunks:
        if pair is not None:
            chunk, choice = pair
            seen[chunk["choices"][0]["index"]] = choice
            yield {**chunk, "usage": None}
        else:
            yield None
    yield {**chunk, "choices": [], "usage": usage_of(read, list(seen.values()))}


async def _whole(
    chunks: AsyncIterator[tuple[dict[str, Any], Choice] | None],
    count: int,
    about: dict[str, Any],
    read: int,
) -> dict[str, Any]:
    texts = [""] * count
    ends: list[str | None] = [None] * count
    logprobs: list[dict[str, list[Any]] | None] = [None] * count
    seen: dict[int, Choice] = {}
    async for pair in chunks:
        if pair is None:
            continue
        (part,), choice = pair[0]["choices"], pair[1]
        index = part["index"]
        seen[index] = choice
        texts[index] += part["text"]
        ends[index] = part["finish_reason"] or ends[index]
        if more := part["logprobs"]:
            known = logprobs[index] or {name: [] for name in more}
            logprobs[index] = {name: known[name] + more[name] for name in more}
    return {
        **about,
        "choices": [
            {
                "index": index,
                "text": texts[index],
                "finish_reason": ends[index],
                "logprobs": logprobs[index],
            }
            for index in range(count)
        ],
        "usage": usage_of(read, list(seen.values())),
    }


def _echoed(model: ServedModel, given: Any, questions: Sequence[Question]) -> list[str]:
    """The prompt of each question, as it was given; where it was given as tokens, their text."""
    many = [given] if isinstance(given, str) or _are_ids(given) else given
    each = len(questions) // len(many)  # answers of a prompt
    return [
        prompt if isinstance(prompt, str) else model.decode(prompt)
        for prompt in many
        for _ in range(each)
    ]


def _are_ids(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(type(each) is int and each >= 0 for each in value)
    )


def _is_prompt(value: Any) -> bool:
    return (isinstance(value, str) and bool(value)) or _are_ids(value)
