"""What each endpoint works with: the models, the engine, the limits, and who asks."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.requests import Request

from xtune.errors import DataError, UsageError
from xtune.serve.api.errors import ApiError, as_api_error
from xtune.serve.api.fields import parsed_body
from xtune.serve.engine.questions import Broken, Busy, Closed, End, Engine, Event, Question, Refused
from xtune.serve.page.run_folder import RunFolder
from xtune.serve.served import Served, ServedModel
from xtune.serve.tool_desk import ToolDesk

__all__ = ["ApiContext", "ClientGone", "context_of", "in_thread"]

T = TypeVar("T")


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


@dataclass(slots=True)
class ApiContext:
    """What each endpoint works with.

    Attributes:
        served: the models; None while they are loaded.
        engine: that answers; None while they are loaded.
        tools: that the page, and who asks for it, may call; None: the operator has named none.
        seconds: that a request may take.
        body_bytes: of a request, at most.
        counts: of what the HTTP side has done, by the names of metrics.
        runs: that may be looked at; None: none.
    """

    served: Served | None = None
    engine: Engine | None = None
    tools: ToolDesk | None = None
    seconds: float = 600.0
    body_bytes: int = 8_000_000
    counts: Counter[str] = field(default_factory=Counter)
    runs: RunFolder | None = None

    def ready(self) -> tuple[Served, Engine]:
        """Return the models and the engine.

        Raises:
            ApiError: they are still being loaded.
        """
        if self.served is None or self.engine is None:
            raise ApiError(
                503,
                "the model is being loaded; ask again in a few seconds",
                code="not_ready",
                headers={"Retry-After": "5"},
            )
        return self.served, self.engine

    def model(self, name: Any) -> ServedModel:
        """Return the model that a request names: never another one.

        Raises:
            ApiError: none has this name, or none is named.
        """
        served, _ = self.ready()
        names = ", ".join(served.models)
        if name is None:
            raise ApiError(
                400,
                f"model is missing; there are: {names}",
                param="model",
                code="missing_required_parameter",
            )
        if not isinstance(name, str) or name not in served.models:
            raise ApiError(
                404,
                f"there is no model {str(name)[:100]!r}; there are: {names}",
                param="model",
                code="model_not_found",
            )
        return served.models[name]

    def require_room(
        self, model: ServedModel, prompts: Sequence[Sequence[int]], *, name: str
    ) -> None:
        """Refuse prompts that fill the context, before anything is computed.

        Args:
            model: that is asked.
            prompts: token ids of each.
            name: of the field that they stand in.

        Raises:
            ApiError: with both numbers.
        """
        room = self.ready()[1].room(model.id)
        longest = max(map(len, prompts), default=0)
        if room is not None and longest >= room:
            raise ApiError(
                400,
                f"the prompt has {longest} tokens and there is room for {room}, the answer "
                "included: shorten it",
                param=name,
                code="context_length_exceeded",
            )

    async def answers(self, questions: Sequence[Question]) -> AsyncIterator[Event | None]:
        """Ask, and give the pieces and ends as they come; None when none has come for a while.

        Whoever stops to listen frees the rows.

        Raises:
            ApiError: too many wait, the engine has failed, or it takes too long.
        """
        _, engine = self.ready()
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[Event] = asyncio.Queue()

        def tell(event: Event) -> None:
            with contextlib.suppress(RuntimeError):  # the server has ended
                loop.call_soon_threadsafe(events.put_nowait, event)

        try:
            ticket = engine.ask(questions, tell)
        except (Busy, Closed) as error:
            raise as_api_error(error) from None
        except Refused as error:
            raise ApiError(400, str(error), code="unsupported_parameter") from None
        ends = 0
        until = loop.time() + self.seconds
        try:
            while ends < len(questions):
                wait = min(_QUIET, until - loop.time())
                if wait <= 0:
                    raise self.too_late()
                try:
                    event = await asyncio.wait_for(events.get(), wait)
                except TimeoutError:
                    yield None
                    continue
                if isinstance(event, Broken):
                    raise ApiError(500, event.message, code="engine_failed")
                ends += isinstance(event, End)
                yield event
        finally:
            ticket.leave()

    def too_late(self) -> ApiError:
        """Return what a client is told whose answer takes longer than a request may."""
        return ApiError(504, f"no answer within {self.seconds:.0f} seconds", code="timeout")

    async def body(self, request: Request) -> dict[str, Any]:
        """Return the JSON object that a request sends; its size and time are bounded.

        Raises:
            ApiError: it is too large, too slow, or no object.
        """
        chunks, size = [], 0
        try:
            async with asyncio.timeout(_BODY_SECONDS):
                async for chunk in request.stream():
                    size += len(chunk)
                    if size > self.body_bytes:
                        raise ApiError(
                            413,
                            f"the body has more than {self.body_bytes} bytes",
                            code="body_too_large",
                            headers={"Connection": "close"},
                        )
                    chunks.append(chunk)
        except TimeoutError:
            raise ApiError(
                408,
                f"the body has not come within {_BODY_SECONDS} seconds",
                code="body_too_slow",
                headers={"Connection": "close"},
            ) from None
        return parsed_body(b"".join(chunks))

    async def unless_gone(self, request: Request, work: Awaitable[T]) -> T:
        """Do some work as long as the client is there.

        Args:
            request: of the client.
            work: to be awaited.

        Raises:
            ClientGone: it has left; the work is ended.
        """
        task = asyncio.ensure_future(work)
        gone = asyncio.ensure_future(_gone(request))
        try:
            await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                raise ClientGone
            return task.result()
        finally:
            for each in (task, gone):
                each.cancel()
            await asyncio.gather(task, gone, return_exceptions=True)


def context_of(request: Request) -> ApiContext:
    """Return what an endpoint works with."""
    context = request.app.state.context
    assert isinstance(context, ApiContext)
    return context


async def in_thread(work: Callable[[], T]) -> T:
    """Render or encode without holding up the others' streams.

    Raises:
        ApiError: the request is none that can be rendered.
    """
    try:
        return await asyncio.to_thread(work)
    except (DataError, UsageError) as error:
        raise ApiError(400, str(error), param="messages", code="invalid_value") from None


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


_QUIET = 15.0  # seconds after which a stream says that it still waits
_BODY_SECONDS = 30
