"""What the page needs of the server, by path: its files, and what the public API has not."""

from __future__ import annotations

from starlette.routing import Route

from xtune.serve.page.files import front, static_file
from xtune.serve.page.models import models
from xtune.serve.page.prompt import prompt
from xtune.serve.page.runs import RUN_ROUTES
from xtune.serve.page.tool_calls import call_tool, tool_file, tools

__all__ = ["PAGE_ROUTES"]

PAGE_ROUTES = [
    Route("/", front, methods=["GET"]),
    Route("/page/{name:path}", static_file, methods=["GET"]),
    Route("/xtune/models", models, methods=["GET"]),
    Route("/xtune/prompt", prompt, methods=["POST"]),
    Route("/xtune/tools", tools, methods=["GET"]),
    Route("/xtune/tools/{name}", call_tool, methods=["POST"]),
    Route("/xtune/tools/files/{name}", tool_file, methods=["GET"]),
    *RUN_ROUTES,
]
