"""Tools over the API: what `xtune serve --tools NAME …` offers, and single calls of it.

    GET  /xtune/tools              the tools: schemas, which of them a person has to allow
    POST /xtune/tools/NAME         {"arguments": {…}} in, {"ok", "content", "files", "seconds"} out
    GET  /xtune/tools/files/NAME   a file that a call made

The model does not call: it writes what it wants to call, and whoever asked it decides. A call that
a person has to allow is made only with `"approved": true`, which the page says for its button.
"""

from __future__ import annotations

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response

from xtune.serve.api.context import ApiContext, context_of
from xtune.serve.api.errors import ApiError, as_api_error
from xtune.serve.api.fields import Fields
from xtune.serve.engine.questions import Busy
from xtune.serve.tool_desk import ToolDesk
from xtune.serve.tool_server import result_as_json

__all__ = ["call_tool", "tool_file", "tools"]


async def tools(request: Request) -> Response:
    """List the tools, and those that cannot work on this machine."""
    desk = _desk(context_of(request))
    data = [
        {
            "name": spec.name,
            "schema": spec.schema(),
            "needs_approval": desk.asks(spec.name),
            "seconds": spec.seconds,
        }
        for spec in desk.box.specs
    ]
    return JSONResponse({"object": "list", "data": data, "off": desk.box.off})


async def call_tool(request: Request) -> Response:
    """Make one call; a tool that fails is an answer, for the model to read."""
    context = context_of(request)
    desk = _desk(context)
    name = request.path_params["name"]
    if _kind_of(request) != "application/json":
        # A page of another site may send plain text to this machine unasked, but not JSON.
        raise ApiError(415, "send Content-Type: application/json", code="wrong_content_type")
    fields = Fields(await context.body(request))
    arguments = fields.take_any("arguments")
    approved = fields.take("approved", "true or false", False)
    fields.refuse_rest()
    if name not in [spec.name for spec in desk.box.specs]:
        unknown = desk.box.call(name, {}).content  # known to none of its processes
        raise ApiError(404, unknown, param="name", code="tool_not_found")
    if desk.asks(name) and not approved:
        raise ApiError(
            403,
            f"a person has to allow each call of {name}: send it again with approved: true "
            "once one has",
            param="approved",
            code="approval_needed",
        )
    given = {} if arguments is None else arguments
    try:
        result = await context.unless_gone(request, desk.call(name, given))
    except Busy as error:
        raise as_api_error(error) from None
    return JSONResponse(result_as_json(result, at="/xtune/tools/files"))


async def tool_file(request: Request) -> Response:
    """Return a file that a call made."""
    path = _desk(context_of(request)).box.made_file(request.path_params["name"])
    if path is None:
        raise HTTPException(404)
    # A browser saves it, whatever a tool has written into it.
    return FileResponse(path, media_type="application/octet-stream", filename=path.name)


def _desk(context: ApiContext) -> ToolDesk:
    if context.tools is None:
        raise ApiError(
            404,
            "this server offers no tools: start it with the names of some, such as xtune serve "
            "MODEL --tools calculator date; xtune list-tools lists them",
            code="no_tools",
        )
    return context.tools


def _kind_of(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()
