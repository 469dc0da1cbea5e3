"""A Model Context Protocol server over stdio, made with the protocol's own package."""

from __future__ import annotations

import os
import time

from mcp.server.mcpserver import Image, MCPServer
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("stand-in")


@server.tool()
def add(a: int, b: int = 1) -> int:
    """Add two numbers."""
    return a + b


@server.tool()
def fail() -> str:
    """Fail."""
    raise ToolError("it went wrong")


@server.tool()
def picture() -> Image:
    """Draw."""
    return Image(data=b"\x89PNG picture", format="png")


@server.tool()
def environment(name: str) -> str:
    """Tell an environment variable and the process."""
    return f"{os.environ.get(name)} {os.getpid()}"


@server.tool()
def sleep(seconds: float) -> str:
    """Sleep."""
    time.sleep(seconds)
    return "slept"


if __name__ == "__main__":
    server.run("stdio")
