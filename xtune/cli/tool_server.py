"""Serve tools to other programs: over HTTP with an OpenAPI document, or as an MCP server.

xtune tool-server                                     calculator, convert, date, solve
xtune tool-server --tools calculator search --tool-options search.folder=notes
xtune tool-server --tools python --mcp stdio          for a program that starts us itself
xtune tool-server --mcp http --port 9000              at http://127.0.0.1:9000/mcp

It listens on this machine only, unless --host says otherwise; there is no password, so whoever
reaches it can call the tools. python and fetch are served only if --tools names them.
"""

from __future__ import annotations

import argparse
import sys

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the verb's arguments."""
    from xtune.tools.options import DEFAULT_TOOLS

    parser.add_argument(
        "--tools",
        nargs="+",
        default=list(DEFAULT_TOOLS),
        metavar="NAME",
        help="names of `xtune list-tools`, or path/to/file.py:name; "
        f"default: {' '.join(DEFAULT_TOOLS)}",
    )
    parser.add_argument(
        "--tool-options",
        nargs="+",
        default=[],
        metavar="TOOL.OPTION=VALUE",
        help="options of the tools, such as search.folder=notes",
    )
    parser.add_argument("--mcp", choices=["stdio", "http"], help="speak MCP, over this")
    parser.add_argument("--host", default="127.0.0.1", help="to listen at; default: %(default)s")
    parser.add_argument("--port", type=int, default=8765, help="default: %(default)s; 0: any")


def run(args: argparse.Namespace) -> int:
    """Serve until Ctrl-C, or until the program at the other end is gone."""
    from xtune.errors import UsageError
    from xtune.serve.mcp_server import serve_http, serve_stdio
    from xtune.serve.tool_server import ToolServer
    from xtune.tools.options import read_options
    from xtune.tools.toolbox import ToolBox

    if not 0 <= args.port <= 65535:
        raise UsageError(f"--port {args.port}: give a number from 1 to 65535, or 0 for any")
    with ToolBox(args.tools, read_options(args.tool_options)) as box:
        for name, reason in box.off.items():
            _say(f"{name} is off: {reason}")
        names = ", ".join(spec.name for spec in box.specs)
        if args.mcp == "stdio":
            serve_stdio(box)
            return 0
        if args.host not in ("127.0.0.1", "localhost", "::1"):
            _say(f"whoever can reach {args.host} can call these tools: {names}")
        try:
            if args.mcp == "http":
                _say(f"{names} at http://{args.host}:{args.port}/mcp; Ctrl-C ends it")
                serve_http(box, args.host, args.port)
            else:
                with ToolServer(box, args.host, args.port) as server:
                    _say(f"{names} at http://{args.host}:{server.server_port}/; Ctrl-C ends it")
                    server.serve_forever()
        except KeyboardInterrupt:
            pass
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)  # standard output is for the protocol
