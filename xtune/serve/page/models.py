"""GET /xtune/models: what the page tells of each model, next to its name."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from xtune.serve.api.context import context_of
from xtune.serve.engine.questions import Engine
from xtune.serve.served import ServedModel

__all__ = ["models"]


async def models(request: Request) -> Response:
    """List the models, the base first."""
    context = context_of(request)
    served, engine = context.ready()
    has_tools = context.tools is not None
    return JSONResponse(
        {"models": [_told(model, engine, has_tools) for model in served.models.values()]}
    )


def _told(model: ServedModel, engine: Engine, has_tools: bool) -> dict[str, Any]:
    """A model's name, whether it is an adapter, and what a dialogue with it is made of.

    `system` is the text trained with, which the server puts before a dialogue that has none;
    `room` are the tokens of a prompt and its answer together, None for any number; `calls`: it
    writes calls of tools in a form that is read; `tools`: and the server has some that may be
    called.
    """
    return {
        "id": model.id,
        "adapter": model.adapter is not None,
        "system": model.chat.system,
        "room": engine.room(model.id),
        "calls": model.call_form is not None,
        "tools": has_tools and model.call_form is not None,
    }
