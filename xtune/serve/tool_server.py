"""A tool box over HTTP, with its OpenAPI document and a page for people.

    GET  /                  the page
    GET  /openapi.json      the document; an operation for each tool
    GET  /schemas           the tools as chat templates take them
    POST /tools/NAME        arguments in, {"ok", "content", "files", "seconds"} out
    GET  /files/NAME        a file that a tool made

A page that a browser has open must not be able to call the tools of the machine it runs on: a call
has to be JSON by its content type, which a page of another site may not send unasked, and the host
that it names must be this one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from xtune import __version__
from xtune.errors import UsageError
from xtune.tools.base import ToolResult
from xtune.tools.toolbox import ToolBox

__all__ = ["ToolServer", "openapi_document", "result_as_json"]

_MOST_BYTES = 1_000_000  # of a request
_DRAINED = 4 * _MOST_BYTES  # of a body that is refused, read so that the answer is
_RESULT = {
    "type": "object",
    "properties": {
        "ok": {"type": "boolean", "description": "whether the tool did what it was asked"},
        "content": {"type": "string", "description": "the result, or what went wrong"},
        "files": {"type": "array", "items": {"type": "string"}, "description": "paths to GET"},
        "seconds": {"type": "number"},
    },
    "required": ["ok", "content", "files", "seconds"],
}


class ToolServer(ThreadingHTTPServer):
    """An HTTP server for one tool box; what tools keep is shared by all who call.

    Args:
        box: whose tools are served.
        host: to listen at; only names of the machine itself are answered if it is the loopback.
        port: 0 for any that is free; see `server_port`.

    Raises:
        UsageError: the port is taken, or the host is not this machine's.
    """

    daemon_threads = True

    def __init__(self, box: ToolBox, host: str = "127.0.0.1", port: int = 8765) -> None:
        self.box = box
        self.host = host
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise UsageError(f"cannot listen at {host}:{port}: {error}; try --port 0") from None


def openapi_document(box: ToolBox) -> dict[str, Any]:
    """Return the OpenAPI 3.1 document of a box's tools."""
    answer = {"description": "what it gave", "content": {"application/json": {"schema": _RESULT}}}
    paths = {
        f"/tools/{spec.name}": {
            "post": {
                "operationId": spec.name,
                "summary": spec.description,
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": dict(spec.parameters)}},
                },
                "responses": {"200": answer},
            }
        }
        for spec in box.specs
    }
    about = {"title": "xtune tool server", "version": __version__}
    return {"openapi": "3.1.0", "info": about, "paths": paths}


def result_as_json(result: ToolResult, *, at: str) -> dict[str, Any]:
    """Return what a call gave, as a server answers it.

    Args:
        result: of the call.
        at: the path under which the server has the files that were made.
    """
    return {
        "ok": result.ok,
        "content": result.content,
        "files": [f"{at}/{path.name}" for path in result.files],
        "seconds": round(result.seconds, 4),
    }


class _Handler(BaseHTTPRequestHandler):
    server: ToolServer
    protocol_version = "HTTP/1.1"
    timeout = 60  # seconds that a client may take to send
    # head and body are two packets: the second would wait 40 ms until the first is acknowledged
    disable_nagle_algorithm = True

    def do_GET(self) -> None:  # noqa: N802
        path = urlsplit(self.path).path
        if not self._is_for_us():
            return
        if path == "/":
            self._answer(200, _page(self.server.box).encode(), "text/html; charset=utf-8")
        elif path == "/openapi.json":
            self._json(200, openapi_document(self.server.box))
        elif path == "/schemas":
            self._json(200, self.server.box.schemas())
        elif path.startswith("/files/"):
            self._file(unquote(path[len("/files/") :]))
        else:
            self._json(404, {"error": f"there is no {path[:200]}; see /openapi.json"})

    def do_POST(self) -> None:  # noqa: N802
        if not self._is_for_us():
            return
        try:
            length = int(self.headers.get("Content-Length", ""))
        except ValueError:
            length = -1
        if not 0 <= length <= _MOST_BYTES:
            self.close_connection = True
            # Who is still writing when the connection ends sees that, and not the answer.
            self.rfile.read(max(0, min(length, _DRAINED)))
            self._json(413, {"error": f"a body of 0 to {_MOST_BYTES} bytes is needed"})
            return
        body = self.rfile.read(length)
        path = urlsplit(self.path).path
        name = unquote(path.removeprefix("/tools/"))
        known = [spec.name for spec in self.server.box.specs]
        if not path.startswith("/tools/") or name not in known:
            self._json(404, {"error": f"there is no {path[:200]}; the tools are: {known}"})
        elif self.headers.get_content_type() != "application/json":
            self._json(415, {"error": "send the arguments as Content-Type: application/json"})
        else:
            result = self.server.box.call(name, body.decode(errors="replace"))
            self._json(200, result_as_json(result, at="/files"))

    def _is_for_us(self) -> bool:
        # A site whose name is made to mean 127.0.0.1 would send its own name
        host = urlsplit(f"//{self.headers.get('Host', '')}").hostname or ""
        local = {"127.0.0.1", "localhost", "::1"}
        if self.server.host not in local or host in local:
            return True
        self.close_connection = True
        self._json(403, {"error": f"this server is not {host[:100]!r}"})
        return False

    def _file(self, name: str) -> None:
        path = self.server.box.made_file(name)
        if path is None:
            self._json(404, {"error": f"no tool made {name[:100]!r}"})
            return
        kind = "image/png" if path.suffix == ".png" else "application/octet-stream"
        self._answer(200, path.read_bytes(), kind)

    def _json(self, status: int, value: Any) -> None:
        self._answer(status, json.dumps(value).encode(), "application/json")

    def _answer(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def _page(box: ToolBox) -> str:
    tools = "".join(
        f"<h2>{escape(spec.name)}</h2><p>{escape(spec.description)}</p>"
        f"<table>{_rows(spec.parameters)}</table>"
        for spec in box.specs
    )
    off = "".join(f"<p>{escape(name)} is off: {escape(why)}</p>" for name, why in box.off.items())
    return (
        "<!doctype html><meta charset=utf-8><title>xtune tool server</title>"
        "<style>body{font:16px sans-serif;max-width:50em;margin:2em auto}"
        "td{padding:.2em 1em .2em 0;vertical-align:top}</style><h1>xtune tool server</h1>"
        '<p><a href="/openapi.json">openapi.json</a> <a href="/schemas">schemas</a></p>'
        f"{off}{tools}"
    )


def _rows(parameters: Mapping[str, Any]) -> str:
    required = parameters.get("required", ())
    return "".join(
        f"<tr><td><code>{escape(name)}</code><td>{escape(str(schema.get('type', '')))}"
        f"{'' if name in required else ' (optional)'}<td>{escape(schema.get('description', ''))}"
        for name, schema in parameters.get("properties", {}).items()
    )
