"""What the server is and how it does: models, tokens, templates, health, metrics."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from xtune.data.map_fns.tools import tools_of
from xtune.serve.api.chat_completions import dialogue_of
from xtune.serve.api.context import ApiContext, context_of, in_thread
from xtune.serve.api.errors import ApiError
from xtune.serve.api.fields import Fields
from xtune.serve.served import ServedModel

__all__ = [
    "ENDPOINTS",
    "apply_template",
    "health",
    "metrics",
    "models",
    "one_model",
    "tokenize",
]

ENDPOINTS = (
    "POST /v1/chat/completions",
    "POST /v1/completions",
    "POST /v1/responses",
    "POST /v1/embeddings",
    "GET /v1/models",
    "POST /tokenize",
    "POST /apply-template",
    "GET /health",
    "GET /metrics",
)


async def models(request: Request) -> Response:
    """List the models."""
    served, _ = context_of(request).ready()
    return JSONResponse({"object": "list", "data": list(map(_described, served.models.values()))})


async def one_model(request: Request) -> Response:
    """Describe one model."""
    return JSONResponse(_described(context_of(request).model(request.path_params["id"])))


async def tokenize(request: Request) -> Response:
    """Return the tokens of a text, `content`, or of a dialogue, `messages`."""
    context = context_of(request)
    fields = Fields(await context.body(request))
    model = _model(context, fields)
    text = fields.take("content", "a string")
    if text is None:
        text = fields.take("prompt", "a string")
    messages = fields.take("messages", "a list")
    tools = fields.take("tools", "a list", [])
    special = fields.take("add_special", "true or false", False)
    fields.refuse_rest()
    if (text is None) == (messages is None):
        raise ApiError(400, "give either content, a text, or messages, a dialogue")

    def work() -> list[int]:
        if text is not None:
            return model.encode(text, add_special=special)
        return model.render(dialogue_of(messages, model), tools_of(tools))

    tokens = await in_thread(work)
    room = context.ready()[1].room(model.id)
    return JSONResponse({"tokens": tokens, "count": len(tokens), "max_model_len": room})


async def apply_template(request: Request) -> Response:
    """Return the text that a dialogue is rendered to: what the model reads."""
    context = context_of(request)
    fields = Fields(await context.body(request))
    model = _model(context, fields)
    messages = fields.require("messages", "a list")
    tools = fields.take("tools", "a list", [])
    fields.refuse_rest()

    def work() -> str:
        return model.decode(model.render(dialogue_of(messages, model), tools_of(tools)))

    return JSONResponse({"prompt": await in_thread(work)})


async def health(request: Request) -> Response:
    """Say whether questions are answered: 200, or 503 while the model is loaded."""
    context_of(request).ready()
    return JSONResponse({"status": "ok"})


async def metrics(request: Request) -> Response:
    """Return counters and gauges in Prometheus' text form."""
    context = context_of(request)
    counts: dict[str, float] = dict(context.counts)
    if context.engine is not None:
        counts |= context.engine.counts()
    lines = []
    typed = set()
    for name, value in sorted(counts.items()):
        family, _, label = name.partition(":")
        if family not in typed:
            typed.add(family)
            kind = "counter" if family.endswith("_total") else "gauge"
            lines.append(f"# TYPE xtune_{family} {kind}")
        labels = f'{{{_LABELS.get(family, "kind")}="{label}"}}' if label else ""
        lines.append(f"xtune_{family}{labels} {value:g}")
    text = "\n".join(lines) + "\n"
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")


_LABELS = {"answers_ended_total": "by", "responses_total": "status"}


def _model(context: ApiContext, fields: Fields) -> ServedModel:
    """The model that a request names; the first where it names none, as llama.cpp's clients do."""
    served, _ = context.ready()
    named = fields.take_any("model")
    return context.model(next(iter(served.models)) if named is None else named)


def _described(model: ServedModel) -> dict[str, Any]:
    return {"id": model.id, "object": "model", "created": model.created, "owned_by": "xtune"}
