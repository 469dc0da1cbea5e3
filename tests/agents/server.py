"""A small OpenAI-compatible server that really listens, and says what it was told to say."""

from __future__ import annotations

import contextlib
import json
from types import SimpleNamespace

from tests.tools.web_server import serving


@contextlib.contextmanager
def listening():
    """A server; `replies` are what it says next, `requests` what it was asked."""
    server = SimpleNamespace(models=["big"], requests=[], replies=[])

    def answer(request):
        if request.method == "GET":
            return 200, {}, {"data": [{"id": name} for name in server.models]}
        asked = (request.path, request.headers.get("authorization"), request.body)
        server.requests.append(asked)
        status, kind, text = server.replies.pop(0)
        return status, {"Content-Type": kind}, text

    with serving(answer) as (url, _):
        server.url = f"{url}/v1"
        yield server


def stream(*deltas, reason="stop"):
    events = [{"choices": [{"delta": delta}]} for delta in deltas]
    events.append({"choices": [{"delta": {}, "finish_reason": reason}]})
    lines = [f"data: {json.dumps(event)}\n\n" for event in events]
    return 200, "text/event-stream", ": hello\n\n" + "".join(lines) + "data: [DONE]\n\n"


def call_piece(index, arguments, **first):
    name = first.pop("name", None)
    function = {"arguments": arguments} | ({"name": name} if name else {})
    return {"tool_calls": [{"index": index, "function": function, **first}]}
