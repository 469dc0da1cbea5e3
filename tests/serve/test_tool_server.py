"""The tool box over HTTP, with a real client, and through its own OpenAPI document."""

from __future__ import annotations

import http.client
import json
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from xtune.errors import UsageError
from xtune.serve.tool_server import ToolServer
from xtune.tools.openapi import OpenAPI
from xtune.tools.options import DEFAULT_TOOLS
from xtune.tools.toolbox import ToolBox

ROOT = Path(__file__).parents[2]
HERE = ROOT / "tests/tools/misbehaving.py"


@pytest.fixture(scope="module")
def server():
    with (
        ToolBox(["calculator", f"{HERE}:makes_files", f"{HERE}:raises"]) as box,
        ToolServer(box, port=0) as server,
    ):
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def ask(server, method, path, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    if body is not None:
        headers.setdefault("Content-Type", "application/json")
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, content


def test_a_tool_is_called_with_json_and_answers_with_json(server):
    status, content = ask(server, "POST", "/tools/calculator", '{"expression": "6*7"}')
    answer = json.loads(content)
    assert (status, answer["ok"], answer["content"], answer["files"]) == (200, True, "42", [])
    for body, said in [('{"expression": "1/0"}', "zero"), ("{", "no JSON"), ("{}", "is missing")]:
        status, content = ask(server, "POST", "/tools/calculator", body)
        answer = json.loads(content)
        assert (status, answer["ok"]) == (200, False)
        assert said in answer["content"]
    assert not json.loads(ask(server, "POST", "/tools/raises", '{"kind": "segfault"}')[1])["ok"]


def test_an_answer_is_sent_at_once():
    at_once: queue.Queue[bool] = queue.Queue()

    class Watched(ToolServer):
        def finish_request(self, request, client_address):
            super().finish_request(request, client_address)
            at_once.put(request.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0)

    with ToolBox(["calculator"]) as box, Watched(box, port=0) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        assert ask(server, "GET", "/schemas", Connection="close")[0] == 200
        thread.join()
        assert at_once.get(timeout=20)


def test_files_can_be_had_and_no_others(server):
    _, content = ask(server, "POST", "/tools/makes_files", '{"name": "plot.png"}')
    assert json.loads(content)["files"] == ["/files/plot.png"]
    assert ask(server, "GET", "/files/plot.png") == (200, b"content")
    (server.box.folder / "link").symlink_to("/etc/passwd")
    for name in ("none.png", "../../etc/passwd", "%2e%2e%2fpasswd", "link", "", ".", ".."):
        assert ask(server, "GET", f"/files/{name}")[0] == 404


def test_what_is_no_call_is_refused(server):
    for method, path, body, headers, status in [
        ("GET", "/nothing", None, {}, 404),
        ("POST", "/tools/nothing", "{}", {}, 404),
        ("POST", "/tools/calculator", "{}", {"Content-Type": "text/plain"}, 415),
        ("POST", "/tools/calculator", "{}", {"Host": "evil.example"}, 403),
        ("GET", "/schemas", None, {"Host": "evil.example:80"}, 403),
        ("POST", "/tools/calculator", "x" * 1_000_001, {}, 413),
        ("POST", "/tools/calculator", None, {"Content-Length": "many"}, 413),
    ]:
        assert ask(server, method, path, body, **headers)[0] == status, (method, path, headers)
    assert ask(server, "GET", "/schemas")[0] == 200


def test_the_pages_say_what_there_is(server):
    assert json.loads(ask(server, "GET", "/schemas")[1]) == server.box.schemas()
    status, page = ask(server, "GET", "/")
    assert status == 200
    for said in ("calculator", "Compute an arithmetic", "expression", "openapi.json"):
        assert said in page.decode()
    document = json.loads(ask(server, "GET", "/openapi.json")[1])
    operation = document["paths"]["/tools/calculator"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    assert schema == server.box.specs[0].parameters


def test_its_own_document_makes_the_same_tools_elsewhere(server):
    tools = OpenAPI(document=f"http://127.0.0.1:{server.server_port}/openapi.json").tools()
    calculator = tools[0]
    assert calculator.spec.description == server.box.specs[0].description
    assert json.loads(calculator.function(expression="6*7"))["content"] == "42"


def test_a_port_that_is_taken_is_said(server):
    with pytest.raises(UsageError, match="cannot listen at 127.0.0.1"):
        ToolServer(server.box, port=server.server_port)


def test_the_command_serves_until_ctrl_c():
    command = [sys.executable, str(ROOT / "tools/tool_server.py"), "--port", "0", "--tools", "date"]
    program = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    said = program.stderr.readline()
    port = int(re.search(r"date at http://127\.0\.0\.1:(\d+)/", said)[1])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("POST", "/tools/date", "{}", {"Content-Type": "application/json"})
    assert json.loads(connection.getresponse().read())["ok"]
    connection.close()
    program.send_signal(signal.SIGINT)
    assert program.wait(30) == 0


def test_what_runs_code_or_reaches_out_is_not_served_unasked():
    assert not {"python", "fetch", "files", "search"} & set(DEFAULT_TOOLS)
