"""A tool box as a Model Context Protocol server, over stdio or HTTP; needs the `mcp` package."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from xtune import __version__
from xtune.errors import UsageError
from xtune.tools.toolbox import ToolBox

if TYPE_CHECKING:
    from mcp.server.lowlevel import Server

__all__ = ["mcp_server", "serve_http", "serve_stdio"]


def mcp_server(box: ToolBox) -> Server[Any]:
    """Return a server of the box's tools; images that they make are part of the answer.

    Raises:
        UsageError: the `mcp` package is not installed.
    """
    try:
        import anyio.to_thread
        import mcp_types as types
        from mcp.server.lowlevel import Server
    except ImportError:
        raise UsageError("--mcp needs the mcp package: pip install '.[agent]'") from None

    async def on_list_tools(context: Any, params: Any) -> types.ListToolsResult:
        return types.ListToolsResult(
            tools=[
                types.Tool(
                    name=spec.name,
                    description=spec.description,
                    input_schema={"type": "object", **spec.parameters},
                )
                for spec in box.specs
            ]
        )

    async def on_call_tool(context: Any, params: Any) -> types.CallToolResult:
        result = await anyio.to_thread.run_sync(box.call, params.name, params.arguments or {})
        content: list[Any] = [types.TextContent(type="text", text=result.content)]
        for path in result.files:
            if path.suffix == ".png":
                data = base64.b64encode(path.read_bytes()).decode()
                image = types.ImageContent(type="image", data=data, mime_type="image/png")
                content.append(image)
        return types.CallToolResult(content=content, is_error=not result.ok)

    return Server(
        "xtune",
        version=__version__,
        on_list_tools=on_list_tools,
        on_call_tool=on_call_tool,
    )


def serve_stdio(box: ToolBox) -> None:
    """Serve the program at the other end of standard input and output, until it closes them."""
    server = mcp_server(box)
    import anyio
    from mcp.server.stdio import stdio_server

    async def serve() -> None:
        async with stdio_server() as (reading, writing):
            await server.run(reading, writing, server.create_initialization_options())

    anyio.run(serve)


def serve_http(box: ToolBox, host: str, port: int) -> None:
    """Serve at http://HOST:PORT/mcp, until Ctrl-C.

    Args:
        box: whose tools are served.
        host: to listen at.
        port: to listen at.
    """
    app = mcp_server(box).streamable_http_app(host=host)
    import uvicorn

    uvicorn.run(app, host=host, port=port, log_level="warning")
