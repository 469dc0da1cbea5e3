"""The tools that `xtune serve --tools` offers, over real HTTP: what may be called, and by whom."""

from __future__ import annotations

import http.client
import json
import threading
from pathlib import Path

import pytest

from tests.serve.conftest import eventually, serving
from tests.serve.test_complaints import error_of
from xtune.serve import tool_desk
from xtune.serve.api.context import ApiContext
from xtune.serve.tool_desk import ToolDesk

OURS = Path(__file__).parents[1] / "tools/misbehaving.py"
OWN = ["echo", "loops", "makes_files", "raises", "sleeps"]


@pytest.fixture(scope="module")
def desk():
    with ToolDesk(["calculator", *(f"{OURS}:{name}" for name in OWN)]) as desk:
        yield desk


@pytest.fixture(scope="module")
def server(talker, desk):
    with serving(talker, context=ApiContext(tools=desk)) as server:
        yield server


def ask(server, method, path, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    headers.setdefault("Content-Type", "application/json")
    data = body if body is None or isinstance(body, str) else json.dumps(body)
    connection.request(method, path, data, headers)
    response = connection.getresponse()
    content = response.read()
    connection.close()
    return response.status, content


def call(server, name, arguments, **fields):
    """What a call gave, without its time."""
    body = {"arguments": arguments, **fields}
    status, content = ask(server, "POST", f"/xtune/tools/{name}", body)
    assert status == 200, content
    answer = json.loads(content)
    assert answer.keys() == {"ok", "content", "files", "seconds"}
    assert 0 <= answer["seconds"] < 60
    return answer["ok"], answer["content"], answer["files"]


def test_the_list_says_what_each_takes_and_which_a_person_has_to_allow(server, desk):
    listed = json.loads(ask(server, "GET", "/xtune/tools")[1])
    assert listed["object"] == "list"
    assert listed["off"] == {}
    told = {each["name"]: (each["needs_approval"], each["seconds"]) for each in listed["data"]}
    assert told == {
        "calculator": (False, 5),
        "echo": (True, 10.0),
        "loops": (True, 1.0),
        "makes_files": (True, 10.0),
        "raises": (True, 10.0),
        "sleeps": (True, 600.0),
    }
    assert [each["schema"] for each in listed["data"]] == desk.box.schemas()


def test_a_call_gives_what_the_tool_box_gives(server):
    assert call(server, "calculator", {"expression": "6*7"}) == (True, "42", [])
    assert call(server, "calculator", '{"expression": "6*7"}') == (True, "42", [])
    ok, said, _ = call(server, "raises", {"kind": "error"}, approved=True)
    assert (ok, said) == (False, "no such place; try Bergen")


def test_arguments_of_a_wrong_kind_are_the_models_to_read(server):
    for arguments, said in [
        ([1], "the arguments of calculator must be an object, not [1]"),
        (5, "the arguments of calculator must be an object, not 5"),
        ("{", "the arguments of calculator are no JSON"),
        ({}, "the argument expression is missing"),
        (None, "the argument expression is missing"),
        ({"expresion": "1"}, "did you mean 'expression'"),
        ({"expression": {"a": 1}}, "expression"),
    ]:
        ok, told, files = call(server, "calculator", arguments)
        assert (ok, files) == (False, [])
        assert said in told


def test_only_what_the_operator_has_named_can_be_called(server):
    for name in ("python", "calculater", "__class__"):
        error = error_of(server, f"/xtune/tools/{name}", {"arguments": {}}, 404)
        assert error["code"] == "tool_not_found"
        assert "calculator, echo, loops, makes_files, raises, sleeps" in error["message"]
    assert (
        "did you mean 'calculator'"
        in error_of(server, "/xtune/tools/calculater", {"arguments": {}}, 404)["message"]
    )


def test_a_call_that_a_person_has_to_allow_is_not_made_without(server):
    for approved in ({}, {"approved": False}, {"approved": None}):
        body = {"arguments": {"text": "a"}, **approved}
        error = error_of(server, "/xtune/tools/echo", body, 403)
        assert (error["code"], error["param"]) == ("approval_needed", "approved")
    ok, said, _ = call(server, "echo", {"text": "a"}, approved=True)
    assert (ok, said) == (True, "('a', 1, 1.0, False, None, 'km', None)")
    error = error_of(server, "/xtune/tools/echo", {"approved": "yes"}, 400)
    assert (error["code"], error["param"]) == ("invalid_value", "approved")


def test_a_foreign_tool_with_the_name_of_a_harmless_one_is_asked_for(desk):
    assert not desk.asks("calculator")
    assert desk.asks("convert")  # which the operator has not named, so that it is not xtune's


def test_what_hangs_is_ended_after_its_time_and_the_next_call_goes_on(server):
    ok, said, _ = call(server, "loops", {}, approved=True)
    assert (ok, said) == (False, "loops was ended after 1 seconds, its time limit")
    assert call(server, "calculator", {"expression": "6*7"}) == (True, "42", [])


def test_a_file_that_a_call_makes_can_be_had_and_no_other(server, desk):
    _, _, files = call(server, "makes_files", {"name": "plot.html"}, approved=True)
    assert files == ["/xtune/tools/files/plot.html"]
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", files[0])
    response = connection.getresponse()
    assert response.read() == b"content"
    # saved, and never shown: it may be a page with a script
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["Content-Disposition"] == 'attachment; filename="plot.html"'
    connection.close()
    (desk.box.folder / "link").symlink_to("/etc/passwd")
    for name in ("none.png", "..%2f..%2fetc%2fpasswd", "link", "%00", ".", "..", ".."):
        assert ask(server, "GET", f"/xtune/tools/files/{name}")[0] == 404


def test_a_page_of_another_site_cannot_send_a_call(server):
    body = '{"arguments": {"expression": "6*7"}}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", ""):
        status, said = ask(
            server, "POST", "/xtune/tools/calculator", body, **{"Content-Type": kind}
        )
        assert status == 415
        assert json.loads(said)["error"]["code"] == "wrong_content_type"
    assert ask(server, "POST", "/xtune/tools/calculator", body, Host="evil.example")[0] == 403


def test_a_field_that_nobody_reads_is_refused(server):
    error = error_of(server, "/xtune/tools/calculator", {"argument": {}}, 400)
    assert (error["code"], error["param"]) == ("unsupported_parameter", "argument")


def test_without_tools_it_says_how_to_have_some(api):
    for method, path in [
        ("GET", "/xtune/tools"),
        ("POST", "/xtune/tools/calculator"),
        ("GET", "/xtune/tools/files/a"),
    ]:
        status, said = ask(api, method, path, "{}" if method == "POST" else None)
        error = json.loads(said)["error"]
        assert (status, error["code"]) == (404, "no_tools")
        assert "xtune serve MODEL --tools calculator date" in error["message"]


def test_the_key_is_asked_for(talker, desk):
    with serving(talker, keys=["k"], context=ApiContext(tools=desk)) as server:
        body = {"arguments": {"expression": "6*7"}}
        assert ask(server, "GET", "/xtune/tools")[0] == 401
        assert ask(server, "POST", "/xtune/tools/calculator", body)[0] == 401
        assert ask(server, "POST", "/xtune/prompt", {})[0] == 401
        with_key = {"Authorization": "Bearer k"}
        assert ask(server, "POST", "/xtune/tools/calculator", body, **with_key)[0] == 200


def test_too_many_calls_at_once_are_told_to_come_again(talker, monkeypatch, tmp_path):
    monkeypatch.setattr(tool_desk, "_AT_ONCE", 1)
    monkeypatch.setattr(tool_desk, "_WAITING", 0)
    sign = tmp_path / "begun"
    with (
        ToolDesk(["calculator", f"{OURS}:sleeps"]) as desk,
        serving(talker, context=ApiContext(tools=desk)) as server,
    ):
        body = {"arguments": {"seconds": 600, "sign": str(sign)}, "approved": True}
        asking = threading.Thread(
            target=ask, args=(server, "POST", "/xtune/tools/sleeps", body), daemon=True
        )
        asking.start()
        assert eventually(sign.exists)
        error = error_of(server, "/xtune/tools/calculator", {"arguments": {}}, 429)
        assert error["code"] == "queue_full"
        desk.box.stop()
        asking.join(20)
        assert not asking.is_alive()
        assert eventually(lambda: ask(server, "POST", "/xtune/tools/calculator", "{}")[0] == 200)
