"""A real MCP server's tools in our box, and our box as a real MCP server, over stdio and HTTP."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytest.importorskip("mcp")

import anyio
from mcp import Client, StdioServerParameters

from xtune.errors import UsageError
from xtune.tools.toolbox import ToolBox

ROOT = Path(__file__).parents[2]
STAND_IN = Path(__file__).with_name("mcp_stand_in.py")
TOOL_SERVER = [str(ROOT / "tools/tool_server.py"), "--tools", "calculator", "convert"]


@pytest.fixture(scope="module")
def box(tmp_path_factory):
    config = tmp_path_factory.mktemp("mcp") / "mcp.json"
    server = {"command": sys.executable, "args": [str(STAND_IN)], "env": {"OURS": "$XTUNE_THEIRS"}}
    config.write_text(json.dumps({"mcpServers": {"stand-in": server}}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XTUNE_THEIRS", "passed on")
        patch.setenv("XTUNE_SECRET", "kept back")
        with ToolBox(["mcp"], {"mcp": {"config": str(config)}}) as box:
            assert not box.off, box.off
            yield box


def test_the_servers_tools_are_ours(box):
    specs = {spec.name: spec for spec in box.specs}
    assert list(specs) == ["add", "fail", "picture", "environment", "sleep"]
    assert specs["add"].description == "Add two numbers."
    assert specs["add"].parameters["required"] == ["a"]
    assert box.call("add", {"a": "3", "b": 4}).content == "7"
    assert "a must be a whole number" in box.call("add", {"a": "three"}).content


def test_failures_files_and_the_environment(box):
    failed = box.call("fail", {})
    assert not failed.ok
    assert "it went wrong" in failed.content
    (path,) = box.call("picture", {}).files
    assert (path.name, path.read_bytes()) == ("image_1.png", b"\x89PNG picture")
    assert box.call("environment", {"name": "OURS"}).content.startswith("passed on ")
    assert box.call("environment", {"name": "XTUNE_SECRET"}).content.startswith("None ")


def test_the_server_ends_with_the_box(box):
    pid = int(box.call("environment", {"name": "OURS"}).content.split()[-1])
    assert psutil.pid_exists(pid)
    box.stop()
    deadline = time.monotonic() + 20
    while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert box.call("add", {"a": 1}).content == "2"  # a new one


def test_a_server_that_is_none_says_why():
    for server, said in [
        ({"command": "no-such-program-here"}, "the server 'x': FileNotFoundError"),
        ({"command": sys.executable, "args": ["-c", "pass"]}, "the server 'x': "),
        ({"url": "http://127.0.0.1:9/mcp"}, "the server 'x': "),
    ]:
        with ToolBox(["mcp"], {"mcp": {"servers": {"x": server}}}) as box:
            assert said in box.off["mcp"]
    with pytest.raises(UsageError, match="needs one of config"):
        ToolBox(["mcp"])


async def used(server):
    async with Client(server) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
        good = await client.call_tool("calculator", {"expression": "6 * 7"})
        bad = await client.call_tool("calculator", {"expression": "6 / 0"})
        return names, good.content[0].text, good.is_error, bad.content[0].text, bad.is_error


USED = (["calculator", "convert"], "42", False, "a division by zero", True)


def test_our_box_is_a_server_over_stdio():
    program = StdioServerParameters(command=sys.executable, args=[*TOOL_SERVER, "--mcp", "stdio"])
    assert anyio.run(used, program) == USED


def test_our_box_is_a_server_over_http():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = [sys.executable, *TOOL_SERVER, "--mcp", "http", "--port", str(port)]
    server = subprocess.Popen(program, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        assert anyio.run(used, f"http://127.0.0.1:{port}/mcp") == USED
    finally:
        server.terminate()
        server.wait(20)
