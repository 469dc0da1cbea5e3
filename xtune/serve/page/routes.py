"""What the page needs of the server, by path: its files, and what the public API has not."""

from __future__ import annotations

from starlette.routing import Route

from xtune.serve.page.files import front, static_file

__all__ = ["PAGE_ROUTES"]

PAGE_ROUTES = [
    Route("/", front, methods=["GET"]),
    Route("/page/{name:path}", static_file, methods=["GET"]),
]
