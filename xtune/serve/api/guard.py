"""Who may ask: keys, hosts and origins, before any endpoint sees a request.

A page that a browser has open must not reach the server of the machine that it runs on: a name
that is made to mean 127.0.0.1 is not ours, and without --cors-origin no page of another site may
read an answer.
"""

from __future__ import annotations

import asyncio
import hmac
from collections import Counter
from collections.abc import Sequence
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from xtune.serve.api.context import ClientGone
from xtune.serve.api.errors import ApiError, error_response

__all__ = ["LOOPBACK", "Guard"]

LOOPBACK = ("127.0.0.1", "localhost", "::1")
_OPEN = ("/health", "/")  # say nothing that a key protects, and so do the page's files
_PAGE = "/page/"
_SEND_SECONDS = 60  # that a client may not read


class Guard:
    """Lets through what may pass.

    Args:
        app: behind it.
        keys: one of which a request must have; none: all may ask.
        host: that the server listens at; without keys it goes by no other name, but loopback's.
        origins: whose pages may ask.
        counts: gets the number of responses by status.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        keys: Sequence[str],
        host: str,
        origins: Sequence[str],
        counts: Counter[str],
    ) -> None:
        self._app = app
        self._keys = [key.encode() for key in keys]
        self._host = host
        self._origins = frozenset(origins)
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin", "")
        allowed = origin if origin in self._origins else ""

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._counts[f"responses_total:{message['status']}"] += 1
                further = MutableHeaders(scope=message)
                further["X-Content-Type-Options"] = "nosniff"
                if allowed:
                    further["Access-Control-Allow-Origin"] = allowed
                    further["Vary"] = "Origin"
            async with asyncio.timeout(_SEND_SECONDS):
                await send(message)

        refusal = self._refusal(scope, headers)
        if allowed and scope["method"] == "OPTIONS":
            preflight = {
                "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
                "Access-Control-Allow-Headers": headers.get(
                    "access-control-request-headers", "Authorization, Content-Type"
                ),
                "Access-Control-Max-Age": "600",
            }
            await Response(status_code=204, headers=preflight)(scope, receive, answer)
        elif refusal is not None:
            await error_response(refusal)(scope, receive, answer)
        else:
            try:
                await self._app(scope, receive, answer)
            except (ClientGone, TimeoutError):  # nobody is there to be told
                self._counts["clients_gone_total"] += 1

    def _refusal(self, scope: Scope, headers: Headers) -> ApiError | None:
        named = urlsplit(f"//{headers.get('host', '')}").hostname or ""
        if not self._keys and named not in (*LOOPBACK, self._host):
            return ApiError(403, f"this server is not {named[:100]!r}", code="wrong_host")
        path = scope["path"]
        if not self._keys or path in _OPEN or path.startswith(_PAGE) or self._has_key(headers):
            return None
        given = "the key is wrong" if headers.get("authorization") else "a key is missing"
        return ApiError(
            401,
            f"{given}; send it as 'Authorization: Bearer KEY'",
            code="invalid_api_key",
            headers={"WWW-Authenticate": "Bearer"},
        )

    def _has_key(self, headers: Headers) -> bool:
        kind, _, given = headers.get("authorization", "").partition(" ")
        key = given.strip().encode()
        # all are compared, each in constant time: how long it takes says nothing
        found = [hmac.compare_digest(key, each) for each in self._keys]
        return kind.lower() == "bearer" and any(found)
