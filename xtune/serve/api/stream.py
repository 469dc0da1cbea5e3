"""Server-sent events: one JSON object after another, a word while there is none, and [DONE]."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Any

from starlette.responses import StreamingResponse

from xtune.serve.api.errors import ApiError

__all__ = ["event_stream", "first_of"]

logger = logging.getLogger(__name__)


async def first_of(
    chunks: AsyncIterator[dict[str, Any] | None],
) -> AsyncIterator[dict[str, Any] | None]:
    """Wait for the first of some chunks, so that a refusal is an answer of its own.

    Raises:
        ApiError: there is none.
    """
    first = await anext(chunks)

    async def all_of() -> AsyncIterator[dict[str, Any] | None]:
        try:
            yield first
            async for chunk in chunks:
                yield chunk
        finally:
            await chunks.aclose()  # type: ignore[attr-defined]

    return all_of()


def event_stream(
    chunks: AsyncIterator[dict[str, Any] | None],
    headers: Mapping[str, str],
    *,
    named: bool = False,
) -> StreamingResponse:
    """Return the response that sends chunks as they come.

    Args:
        chunks: objects; None where the client is only told that it waits.
        headers: further ones.
        named: each event has its object's type for a name, and none is [DONE].
    """
    return StreamingResponse(
        _events(chunks, named=named),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no", **headers},
    )


async def _events(
    chunks: AsyncIterator[dict[str, Any] | None], *, named: bool
) -> AsyncIterator[str]:
    try:
        async for chunk in chunks:
            if chunk is None:
                yield ": still waiting\n\n"
            else:
                yield (f"event: {chunk['type']}\n" if named else "") + _event(chunk)
        if not named:
            yield "data: [DONE]\n\n"
    except ApiError as error:
        yield _failure(error, named=named)
    except Exception:
        logger.exception("a stream has failed")
        yield _failure(ApiError(500, "the server has failed; its log says why"), named=named)
    finally:
        await chunks.aclose()  # type: ignore[attr-defined]


def _failure(error: ApiError, *, named: bool) -> str:
    if not named:
        return _event(error.body)
    about = error.body["error"]
    event = {"type": "error", "code": about["code"], "message": about["message"]}
    return "event: error\n" + _event({**event, "param": about["param"]})


def _event(chunk: dict[str, Any]) -> str:
    return f"data: {json.dumps(chunk, ensure_ascii=False, separators=(',', ':'))}\n\n"
