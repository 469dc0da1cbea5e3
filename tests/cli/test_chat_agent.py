"""`xtune chat --lagent` as its users meet it: a server's model, the real tool box, every stream."""

from __future__ import annotations

import io
import json
import sys
import time

import psutil
import pytest

from tests.agents.server import call_piece, listening, stream
from tests.cli.test_chat import PROMPT, Terminal
from xtune.cli.entry import main


@pytest.fixture
def server():
    with listening() as server:
        yield server


@pytest.fixture
def chat(monkeypatch, capsys):
    """Run `xtune chat` on lines from a pipe; return exit code, standard output and error."""

    def run(*words, stdin=""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        code = main(["chat", *map(str, words)])
        return code, *capsys.readouterr()

    return run


def calls(expression):
    arguments = json.dumps({"expression": expression})
    return stream(call_piece(0, arguments, id="c1", name="calculator"), reason="tool_calls")


def test_a_prompt_is_answered_with_a_tool_that_really_runs(chat, server):
    server.replies = [calls("12*31"), stream({"content": "It is 372."})]
    words = ("--lagent", "--tools", "calculator", "--prompt", "What is 12*31?")
    code, out, err = chat(server.url, *words)
    assert (code, out) == (0, "It is 372.\n")
    assert '→ calculator {"expression": "12*31"}\n← 372 ' in err
    (_, _, first), (_, _, second) = server.requests
    assert [tool["function"]["name"] for tool in first["tools"]] == ["calculator"]
    assert second["messages"][-1] == {"role": "tool", "content": "372", "tool_call_id": "c1"}


def test_each_line_of_a_pipe_one_json_line_a_step_and_the_dialogue_saved(chat, server, tmp_path):
    server.replies = [calls("2^10"), stream({"content": "1024."}), stream({"content": "Bye!"})]
    path = tmp_path / "chat.json"
    code, out, _ = chat(
        server.url,
        *("--lagent", "--tools", "calculator", "--json"),
        stdin=f"2^10?\nBye\n/save {path}\n",
    )
    steps = [json.loads(line) for line in out.splitlines()]
    assert code == 0
    assert [(s["kind"], s["result"]) for s in steps] == [
        ("call", "1024"),
        ("answer", "1024."),
        ("answer", "Bye!"),
    ]
    saved = json.loads(path.read_text())
    assert [message["role"] for message in saved["messages"]] == [
        *("user", "assistant", "tool", "assistant"),
        *("user", "assistant"),
    ]
    assert saved["tools"][0]["function"]["name"] == "calculator"


def test_rewoo_and_no_answer_is_exit_code_1(chat, server):
    plan = '#E1 = calculator[{"expression": "12*31"}]\n#E2 = calculator[2 * #E1]'
    words = ("--lagent", "--tools", "calculator", "--agent", "rewoo", "--prompt", "?")
    server.replies = [stream({"content": plan}), stream({"content": "744"})]
    assert chat(server.url, *words)[:2] == (0, "744\n")
    assert "2 * 372" not in server.requests[1][2]["messages"][-1]["content"]
    assert "744" in server.requests[1][2]["messages"][-1]["content"]
    server.replies = [stream({"content": "#E1 = calculator[#E1]"})] * 3
    code, out, err = chat(server.url, *words)
    assert (code, out) == (1, "")
    assert "#E1 wait for each other" in err


def test_no_call_is_approved(chat, server):
    server.replies = [calls("1+1"), stream({"content": "I may not."})]
    words = ("--lagent", "--tools", "calculator", "--approve", "none", "--prompt", "?")
    code, out, err = chat(server.url, *words)
    assert (code, out) == (0, "I may not.\n")
    assert "refused: The user refused this call" in err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--json"], "--json goes with --lagent; add it"),
        (["--tools", "date"], "--tools goes with --lagent"),
        (["--lagent", "--tools", "calculater"], "did you mean 'calculator'?"),
        (["--lagent", "--max-turns", "0"], "--max-turns is 0; allowed: 1 or more"),
        (["--lagent", "--agent", "autogpt"], "--approve ask needs a terminal"),
        (["--lagent", "--tool-options", "date"], "'date' is no option of a tool"),
        (["--with-plugins", "solve", "--tools", "date"], "leave out --tools and --agent"),
        (["--with-plugins", "draw"], "invalid choice"),
    ],
)
def test_misuse_is_found_before_anything_is_loaded(chat, words, said):
    code, out, err = chat("smollm2", *words)
    assert (code, out) == (2, "")
    assert said in err


def test_a_url_needs_lagent(chat):
    code, _, err = chat("http://127.0.0.1:9", "--prompt", "Hi")
    assert code == 2
    assert "a server's URL goes with --lagent" in err


def test_a_server_that_is_not_there(chat):
    code, _, err = chat("http://127.0.0.1:9", "--lagent", "--tools", "date", "--prompt", "Hi")
    assert code == 1
    assert "http://127.0.0.1:9 cannot be reached" in err


def test_ctrl_c_in_a_terminal_stops_a_running_tool_and_returns_to_the_prompt(server, tmp_path):
    sign = tmp_path / "pid"
    arguments = json.dumps({"seconds": 25, "sign": str(sign)})
    server.replies = [
        stream(call_piece(0, arguments, id="c1", name="sleeps"), reason="tool_calls"),
        stream({"content": "See you!"}),
    ]
    tool = "tests/tools/misbehaving.py:sleeps"
    terminal = Terminal(server.url, "--lagent", "--tools", tool, cache=tmp_path)
    terminal.wait_for(PROMPT)
    terminal.type("sleep\r")
    for _ in range(1200):
        if sign.exists() and sign.read_text():
            break
        time.sleep(0.05)
    running = psutil.Process(int(sign.read_text()))
    terminal.interrupt()
    terminal.wait_for("stopped by Ctrl-C")
    terminal.wait_for(PROMPT)
    assert not running.is_running() or running.status() == psutil.STATUS_ZOMBIE
    terminal.type("Bye\r")
    terminal.wait_for("See you!")
    terminal.wait_for(PROMPT)
    terminal.type("/exit\r")
    assert terminal.end() == 0
    assert "Traceback" not in terminal.seen
    assert [m["content"] for m in server.requests[1][2]["messages"]] == ["Bye"]
