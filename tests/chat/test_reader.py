from __future__ import annotations

import io
import stat

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.history import FileHistory
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput

from xtune.chat.reader import read_pipe, read_terminal


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("", []),
        ("a\nb\n", ["a", "b"]),
        ("a\n\n  \nb", ["a", "b"]),
        ("a\\\nb\nc\n", ["a\nb", "c"]),
        ("a\\\n\\\nb\n", ["a\n\nb"]),
        ("a\\\n", ["a"]),
        ("a\r\nb\r\n", ["a", "b"]),
        ("\\\n\\\n", []),
    ],
)
def test_lines_of_a_pipe(text, messages):
    assert list(read_pipe(io.StringIO(text, newline=""))) == messages


def typed(keys, monkeypatch, tmp_path):
    """What a person's keys become, through prompt_toolkit itself on an input of our own."""
    monkeypatch.setenv("XTUNE_CACHE", str(tmp_path / "cache"))
    said = []
    with create_pipe_input() as pipe, create_app_session(input=pipe, output=DummyOutput()):
        pipe.send_text(keys + "\x04")  # Ctrl-D
        messages = list(read_terminal(said.append))
    return messages, said


@pytest.mark.parametrize(
    ("keys", "messages"),
    [
        ("hello\r", ["hello"]),
        ("one\rtwo\r", ["one", "two"]),
        ("\r  \rx\r", ["x"]),
        ("helo\x1b[Dl\r", ["hello"]),  # left arrow
        ("first\\\rsecond\r", ["first\nsecond"]),
        ("first\x1b\rsecond\r", ["first\nsecond"]),  # Alt-Enter
        ("\x1b[200~a\nb\x1b[201~\r", ["a\nb"]),  # bracketed paste
        ("back\\slash\r", ["back\\slash"]),
    ],
)
def test_keys(keys, messages, monkeypatch, tmp_path):
    assert typed(keys, monkeypatch, tmp_path) == (messages, [])


def test_ctrl_c_empties_the_line_and_says_how_to_leave(monkeypatch, tmp_path):
    messages, said = typed("never mind\x03go on\r", monkeypatch, tmp_path)
    assert messages == ["go on"]
    assert said == ["Ctrl-D or /exit leaves"]


def test_history_outlives_the_program_and_is_private(monkeypatch, tmp_path):
    typed("remember me\r", monkeypatch, tmp_path)
    typed("me too\r", monkeypatch, tmp_path)
    file = tmp_path / "cache" / "chat_history"
    assert list(FileHistory(str(file)).load_history_strings()) == ["me too", "remember me"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_no_place_for_history_is_no_reason_to_stop(monkeypatch, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    assert typed("hello\r", monkeypatch, tmp_path)[0] == ["hello"]
