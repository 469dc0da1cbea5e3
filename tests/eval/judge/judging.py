"""An OpenAI-compatible server that really listens and judges by a function of what it is asked."""

from __future__ import annotations

import contextlib
import json
import threading
from types import SimpleNamespace

from tests.tools.web_server import serving

__all__ = ["shown_answers", "judging", "write_rows"]


@contextlib.contextmanager
def judging(judge):
    """A server; `judge(body, number)` returns a status and a text.

    `asked` are the bodies of its requests, `keys` who asked.
    """
    server = SimpleNamespace(asked=[], keys=set())
    counting = threading.Lock()

    def answer(request):
        if request.method == "GET":
            return 200, {}, {"data": [{"id": "big"}]}
        with counting:
            server.asked.append(request.body)
            server.keys.add(request.headers.get("authorization"))
            number = len(server.asked)
        status, said = judge(request.body, number)
        if status == 200:
            message = {"role": "assistant", "content": said}
            return 200, {}, {"choices": [{"message": message, "finish_reason": "stop"}]}
        wait = {"Retry-After": "0"} if status in (429, 503) else {}
        return status, wait, {"error": said}

    with serving(answer) as (url, _):
        server.url = f"{url}/v1"
        yield server


def shown_answers(body):
    """The answers that one of our English prompts shows, in its order."""
    lines = body["messages"][-1]["content"].splitlines()
    starts = [at for at, line in enumerate(lines) if line.startswith(("=== answer", "=== code"))]
    return [lines[at + 1] for at in starts]


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)
