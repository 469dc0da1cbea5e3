"""`mcp`: the tools of any Model Context Protocol server, over stdio or HTTP."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import os
import re
import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xtune.errors import UsageError
from xtune.tools.base import Output, Tool, ToolError, tool
from xtune.tools.spec import ToolSpec

if TYPE_CHECKING:
    from mcp import Client

__all__ = ["MCP"]

_SECONDS = 60.0  # of a call
_TO_CONNECT = 60.0  # seconds


@tool(name="mcp", alone=True)
class MCP:
    """A tool for each tool of each server; the servers are started, or connected to, by us.

    A server runs with your rights: name only those that you trust.

    Args:
        config: path of a JSON file with `mcpServers`, as other programs have it; or
        servers: its content: by name, {'command': …, 'args': […], 'env': {…}} of a program that
            speaks over stdio, or {'url': …, 'headers': {…}}. In env and headers '$NAME' stands for
            an environment variable.

    Raises:
        UsageError: neither or both are given, or the file cannot be read.
        ToolError: the `mcp` package is not installed, or a server does not answer.
    """

    def __init__(
        self, *, config: str | None = None, servers: Mapping[str, Mapping[str, Any]] | None = None
    ) -> None:
        if (config is None) == (servers is None):
            raise UsageError("the tool 'mcp' needs one of config='FILE.json' and servers={...}")
        try:
            import mcp  # noqa: F401
        except ImportError:
            raise ToolError("it needs the mcp package: pip install '.[agent]'") from None
        named = servers if servers is not None else _read(str(config))
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()
        listed = []
        for name, server in named.items():
            connected: Future[tuple[Client, list[Any]]] = Future()
            asyncio.run_coroutine_threadsafe(_hold(server, connected), self._loop)
            try:
                client, tools = connected.result(_TO_CONNECT)
            except TimeoutError:
                raise ToolError(f"the server {name!r} does not answer") from None
            except Exception as error:
                raise ToolError(f"the server {name!r}: {_reason(error)}") from error
            listed += [(name, client, each) for each in tools]
        often = Counter(each.name for _, _, each in listed)
        self._tools = [
            self._tool(each.name if often[each.name] == 1 else f"{name}_{each.name}", client, each)
            for name, client, each in listed
        ]

    def tools(self) -> list[Tool]:
        """Return the servers' tools."""
        return self._tools

    def _tool(self, name: str, client: Client, theirs: Any) -> Tool:
        def call(**arguments: Any) -> Output:
            asked = asyncio.run_coroutine_threadsafe(
                client.call_tool(theirs.name, arguments), self._loop
            )
            try:
                return _output(asked.result(_SECONDS))
            except Exception as error:
                raise ToolError(_reason(error)) from error

        name = re.sub(r"[^a-zA-Z0-9_-]+", "_", name)[:64]
        said = " ".join((theirs.description or theirs.title or name).split())
        return Tool(ToolSpec(name, said, theirs.input_schema, _SECONDS + 5), call)


async def _hold(server: Mapping[str, Any], connected: Future[tuple[Client, list[Any]]]) -> None:
    """Connect, list the tools, and keep the connection: it must be closed where it was opened."""
    from mcp import Client, StdioServerParameters, stdio_client
    from mcp.client.streamable_http import streamable_http_client

    try:
        if "url" in server:
            import httpx2

            headers = _expanded(server.get("headers"))
            http = httpx2.AsyncClient(headers=headers, timeout=_SECONDS)
            transport: Any = streamable_http_client(server["url"], http_client=http)
        else:
            program = StdioServerParameters(
                command=server["command"],
                args=list(server.get("args", [])),
                env=_expanded(server.get("env")),
                cwd=server.get("cwd"),
            )
            quiet = open(os.devnull, "w")  # noqa: SIM115 (for as long as the server)
            transport = stdio_client(program, errlog=quiet)
        async with Client(transport) as client:
            tools, cursor = [], None
            while True:
                page = await client.list_tools(cursor=cursor)
                tools += page.tools
                cursor = page.next_cursor
                if not cursor or len(tools) > 500:
                    break
            connected.set_result((client, tools))
            await asyncio.Event().wait()
    except BaseException as error:
        if not connected.done():
            connected.set_exception(error)


def _output(result: Any) -> Output:
    texts: list[str] = []
    files: dict[str, bytes] = {}
    for block in result.content:
        if block.type == "text":
            texts.append(block.text)
        elif block.type in ("image", "audio"):
            suffix = re.sub(r"\W", "", str(block.mime_type).split("/")[-1]) or "bin"
            name = f"{block.type}_{len(files) + 1}.{suffix}"
            try:
                files[name] = base64.b64decode(block.data)
            except (binascii.Error, ValueError):
                continue
            texts.append(f"[file: {name}]")
        elif block.type == "resource" and getattr(block.resource, "text", None) is not None:
            texts.append(block.resource.text)
        else:
            texts.append(f"[{block.type}]")
    if not texts and result.structured_content is not None:
        texts.append(json.dumps(result.structured_content, ensure_ascii=False))
    return Output("\n".join(texts) or "done", files, ok=not result.is_error)


def _read(config: str) -> Mapping[str, Any]:
    try:
        read = json.loads(Path(config).expanduser().read_text("utf-8"))
        servers = read["mcpServers"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{config!r} cannot be read: {error!r}; it must be JSON such as "
            '{"mcpServers": {"name": {"command": "program", "args": []}}}'
        ) from None
    return servers


def _expanded(given: Mapping[str, str] | None) -> dict[str, str]:
    return {name: os.path.expandvars(value) for name, value in (given or {}).items()}


def _reason(error: BaseException) -> str:
    """The first error inside the groups that asynchronous libraries wrap theirs in."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {error}"
