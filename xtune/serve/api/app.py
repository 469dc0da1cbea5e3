"""The web application: which path is answered by what, and errors in one form."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from xtune.serve.api.about import (
    ENDPOINTS,
    apply_template,
    health,
    metrics,
    models,
    one_model,
    tokenize,
)
from xtune.serve.api.chat_completions import chat_completions
from xtune.serve.api.completions import completions
from xtune.serve.api.context import ApiContext, ClientGone
from xtune.serve.api.embeddings import embeddings
from xtune.serve.api.errors import ApiError, error_response
from xtune.serve.api.guard import Guard
from xtune.serve.api.responses import responses
from xtune.serve.page.routes import PAGE_ROUTES

__all__ = ["build_app"]

logger = logging.getLogger(__name__)

_THERE_ARE = f"there are: {', '.join(ENDPOINTS)}"


def build_app(
    context: ApiContext,
    *,
    keys: Sequence[str] = (),
    host: str = "127.0.0.1",
    origins: Sequence[str] = (),
) -> ASGIApp:
    """Return the application.

    Args:
        context: the models and the engine, which may come later.
        keys: one of which a request must have; none: all may ask.
        host: that the server listens at.
        origins: whose pages may ask: 'https://chat.example'.
    """
    app = Starlette(
        routes=[
            *PAGE_ROUTES,
            Route("/v1/chat/completions", chat_completions, methods=["POST"]),
            Route("/v1/completions", completions, methods=["POST"]),
            Route("/v1/responses", responses, methods=["POST"]),
            Route("/v1/embeddings", embeddings, methods=["POST"]),
            Route("/v1/models", models, methods=["GET"]),
            Route("/v1/models/{id:path}", one_model, methods=["GET"]),
            Route("/tokenize", tokenize, methods=["POST"]),
            Route("/apply-template", apply_template, methods=["POST"]),
            Route("/health", health, methods=["GET"]),
            Route("/metrics", metrics, methods=["GET"]),
        ],
        exception_handlers={
            ApiError: _refused,
            HTTPException: _of_the_framework,
            ClientGone: _gone,
            ClientDisconnect: _gone,
            Exception: _failed,
        },
    )
    app.router.redirect_slashes = False  # a POST that is redirected loses its body
    app.state.context = context
    return Guard(app, keys=keys, host=host, origins=origins, counts=context.counts)


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)
    return error_response(error)


async def _of_the_framework(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path[:200]
    said = {
        404: f"there is no {path}; {_instead_of(request, path)}",
        405: f"{request.method} is not for {path}; {_THERE_ARE}",
    }.get(error.status_code, error.detail)
    code = {404: "not_found", 405: "method_not_allowed"}.get(error.status_code)
    return error_response(ApiError(error.status_code, said, code=code, headers=error.headers))


def _instead_of(request: Request, path: str) -> str:
    """What a client meant whose base URL has a slash or a /v1 too many, or no /v1."""
    bare = path.rstrip("/")
    there = {route.path for route in request.app.routes if isinstance(route, Route)}
    for meant in (bare, f"/v1{bare}", bare.replace("/v1/v1/", "/v1/", 1)):
        if meant != path and meant in there:
            return f"there is {meant}: a client's base URL ends with /v1"
    return _THERE_ARE


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=499)  # nobody reads it; nginx's number for it


async def _failed(request: Request, error: Exception) -> Response:
    return error_response(ApiError(500, "the server has failed; its log says why"))
