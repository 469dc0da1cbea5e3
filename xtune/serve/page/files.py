"""GET / and /page/…: the page's own files, which say nothing that a key protects.

There is no build step: a browser reads the modules under `static/` as they stand. No file, and no
text of a model in one, can make it run or fetch anything else: the policy allows this server only.
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

__all__ = ["POLICY", "STATIC", "front", "static_file"]

STATIC = Path(__file__).parent / "static"
POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "object-src 'none'"
)
# Some systems have other ideas of a module's type, with which no browser runs it.
_TYPES = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}


async def front(request: Request) -> Response:
    """Return the page."""
    return _sent(request, STATIC / "index.html")


async def static_file(request: Request) -> Response:
    """Return a file of the page's."""
    name = request.path_params["name"]
    path = STATIC / name
    # compared with what there is, so that no spelling of a path leads out of the folder
    if path not in set(STATIC.rglob("*")) or not path.is_file():
        raise HTTPException(404)
    return _sent(request, path)


def _sent(request: Request, path: Path) -> Response:
    content = path.read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {
        "ETag": f"W/{tag}",  # compressed or not
        "Cache-Control": "no-cache",  # asked each time whether it has changed: an update is seen
        "Content-Security-Policy": POLICY,
        "Referrer-Policy": "no-referrer",
        "Vary": "Accept-Encoding",
    }
    known = request.headers.get("if-none-match", "")
    if tag in (each.strip().removeprefix("W/") for each in known.split(",")):
        return Response(status_code=304, headers=headers)
    if "gzip" in request.headers.get("accept-encoding", ""):
        content = gzip.compress(content)
        headers["Content-Encoding"] = "gzip"
    kind = _TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0]
    return Response(content, media_type=kind, headers=headers)
