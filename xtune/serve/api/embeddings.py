"""POST /v1/embeddings: the mean of a model's last layer over each text, of length 1."""

from __future__ import annotations

import asyncio
import base64
import struct

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from xtune.serve.api.completions import prompts_of
from xtune.serve.api.context import context_of
from xtune.serve.api.errors import ApiError, unsupported
from xtune.serve.api.fields import Fields
from xtune.serve.engine.questions import Refused

__all__ = ["embeddings"]

_MOST_TEXTS = 2048  # OpenAI's own limit; LangChain sends 1000 at a time


async def embeddings(request: Request) -> Response:
    """Embed texts or token ids."""
    context = context_of(request)
    _, engine = context.ready()
    fields = Fields(await context.body(request))
    model = context.model(fields.take_any("model"))
    given = fields.take_any("input")
    form = fields.take("encoding_format", "a string", "float")
    if form not in ("float", "base64"):
        raise fields.refusal("encoding_format", f"is {form!r}; allowed: float, base64")
    dimensions = fields.take("dimensions", "an integer")
    width = model.chat.llm.get_input_embeddings().weight.shape[1]
    if dimensions not in (None, width):
        raise unsupported("dimensions", f"this model has {width}, and no others")
    fields.refuse_rest()
    prompts = await prompts_of(context, model, given, name="input", most=_MOST_TEXTS)
    try:
        future = engine.embed(model.id, [tuple(prompt) for prompt in prompts])
    except Refused as error:
        raise ApiError(400, str(error), code="unsupported_parameter") from None
    in_time = asyncio.wait_for(asyncio.wrap_future(future), context.seconds)
    try:
        vectors = await context.unless_gone(request, in_time)
    except TimeoutError:
        raise context.too_late() from None
    read = sum(map(len, prompts))
    return JSONResponse(
        {
            "object": "list",
            "model": model.id,
            "data": [
                {
                    "object": "embedding",
                    "index": index,
                    "embedding": vector if form == "float" else _packed(vector),
                }
                for index, vector in enumerate(vectors)
            ],
            "usage": {"prompt_tokens": read, "total_tokens": read},
        }
    )


def _packed(vector: list[float]) -> str:
    """Little-endian fp32, as OpenAI's client asks for it."""
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
