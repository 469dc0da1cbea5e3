"""Listen, load, answer, until Ctrl-C: uvicorn in this thread, the model in the engine's."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from xtune.errors import UsageError
from xtune.serve.api.context import ApiContext
from xtune.serve.engine.questions import Engine
from xtune.serve.served import Served

__all__ = ["HTTP_SETTINGS", "listen", "serve"]

_HEAD_SECONDS = 20.0  # within which the head of a request must have come
_GRACE_SECONDS = 5  # that answers may go on for when the server is ended


class _TimedProtocol(H11Protocol):
    """uvicorn's, which hangs up on who connects and sends no whole head of a request."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self.loop.call_later(_HEAD_SECONDS, self._hang_up_unless_asked)

    def _hang_up_unless_asked(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.close()


HTTP_SETTINGS: dict[str, Any] = {
    "http": _TimedProtocol,
    "ws": "none",
    "lifespan": "off",
    "log_config": None,
    "access_log": False,
    "server_header": False,
    "timeout_keep_alive": 30,
    "timeout_graceful_shutdown": _GRACE_SECONDS,
    "h11_max_incomplete_event_size": 64 * 1024,
}


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: name or address.
        port: 0 for any.

    Raises:
        UsageError: the port is taken, or the host is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sends without delay only where the socket says that it is TCP: else each piece of an
    # answer would wait for the client to acknowledge the last, which it does after 40 ms
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(512)
    except OSError as error:
        listening.close()
        raise UsageError(
            f"cannot listen at {host}:{port}: {error.strerror}; try --port 0"
        ) from None
    return listening


def serve(
    app: ASGIApp,
    context: ApiContext,
    listening: socket.socket,
    prepare: Callable[[], tuple[Served, Engine]],
    on_ready: Callable[[], None],
) -> None:
    """Answer requests until the process is told to end; 503 while the model is loaded.

    Args:
        app: what `build_app` returns.
        context: gets the models and the engine when they are there.
        listening: a socket.
        prepare: gives the models and the engine.
        on_ready: called when they can be asked.

    Raises:
        XtuneError: they cannot be loaded.
    """
    server = uvicorn.Server(uvicorn.Config(app, **HTTP_SETTINGS))
    failed: list[BaseException] = []

    def load() -> None:
        try:
            served, context.engine = prepare()
            context.served = served
            on_ready()
        except BaseException as error:
            failed.append(error)
            server.should_exit = True

    loader = threading.Thread(target=load, name="loader", daemon=True)
    loader.start()
    try:
        asyncio.run(server.serve(sockets=[listening]))
    finally:
        if context.engine is not None:
            context.engine.close()
    if failed:
        raise failed[0]
