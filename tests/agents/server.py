"""A small OpenAI-compatible server that really listens, and says what it was told to say."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        names = self.server.models
        self._send("application/json", json.dumps({"data": [{"id": name} for name in names]}))

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, self.headers.get("Authorization"), body))
        status, kind, text = self.server.replies.pop(0)
        self._send(kind, text, status)

    def _send(self, kind, text, status=200):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def listening():
    """A server on a free port; `replies` are what it says next, `requests` what it was asked."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.models, server.requests, server.replies = ["big"], [], []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def stream(*deltas, reason="stop"):
    events = [{"choices": [{"delta": delta}]} for delta in deltas]
    events.append({"choices": [{"delta": {}, "finish_reason": reason}]})
    lines = [f"data: {json.dumps(event)}\n\n" for event in events]
    return 200, "text/event-stream", ": hello\n\n" + "".join(lines) + "data: [DONE]\n\n"


def call_piece(index, arguments, **first):
    name = first.pop("name", None)
    function = {"arguments": arguments} | ({"name": name} if name else {})
    return {"tool_calls": [{"index": index, "function": function, **first}]}
