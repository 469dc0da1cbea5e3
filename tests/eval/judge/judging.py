"""An OpenAI-compatible server that really listens and judges by a function of what it is asked."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["shown_answers", "judging", "write_rows"]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self._send(200, {"data": [{"id": "big"}]})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.counting:
            self.server.asked.append(body)
            self.server.keys.add(self.headers.get("Authorization"))
            number = len(self.server.asked)
        status, said = self.server.judge(body, number)
        if status == 200:
            message = {"role": "assistant", "content": said}
            self._send(200, {"choices": [{"message": message, "finish_reason": "stop"}]})
        else:
            self._send(status, {"error": said})

    def _send(self, status, content):
        text = json.dumps(content).encode()
        with contextlib.suppress(OSError):  # who asked was killed
            self.send_response(status)
            if status in (429, 503):
                self.send_header("Retry-After", "0")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    def log_message(self, *args):
        pass


@contextlib.contextmanager
def judging(judge):
    """A server on a free port; `judge(body, number)` returns a status and a text."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.judge, server.asked, server.keys = judge, [], set()
    server.counting = threading.Lock()
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    server.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def shown_answers(body):
    """The answers that one of our English prompts shows, in its order."""
    lines = body["messages"][-1]["content"].splitlines()
    starts = [at for at, line in enumerate(lines) if line.startswith(("=== answer", "=== code"))]
    return [lines[at + 1] for at in starts]


def write_rows(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)
