from __future__ import annotations

import pytest

from xtune.chat.commands import COMMANDS, is_command, run_command
from xtune.chat.session import ChatSession
from xtune.generation.generate import prompt_ids
from xtune.generation.settings import GenerationSettings


@pytest.fixture
def session(parrot):
    session = ChatSession(parrot, settings=GenerationSettings(), system="S")
    session.history = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello."},
    ]
    return session


def run(line, session):
    said = []
    assert is_command(line)
    goes_on = run_command(line, session, said.append)
    return goes_on, "\n".join(said)


@pytest.mark.parametrize("line", ["/exit", "EXIT", "/exit "])
def test_leaving(session, line):
    assert run(line, session) == (False, "")


@pytest.mark.parametrize("line", ["/reset", "RESET"])
def test_forgetting_keeps_the_system_prompt(session, line):
    goes_on, said = run(line, session)
    assert goes_on
    assert "the system prompt stays" in said
    assert session.messages == [{"role": "system", "content": "S"}]


def test_help_names_every_command_and_the_keys(session):
    _, said = run("/help", session)
    for each in (*COMMANDS, "Alt-Enter", "Ctrl-C", "Ctrl-D", "RESET", "EXIT"):
        assert each in said


def test_system_shows_sets_and_removes(session):
    assert run("/system", session) == (True, "system prompt: S")
    assert run("/system Be  brief.", session) == (True, "system prompt: Be  brief.")
    assert session.system == "Be  brief."
    assert run("/system off", session) == (True, "no system prompt")
    assert len(session.messages) == 2


def test_undo_takes_back_the_last_message_and_all_after_it(session):
    assert run("/undo", session) == (True, "took back: Hi")
    assert session.messages == [{"role": "system", "content": "S"}]
    assert run("/undo", session) == (True, "there is nothing to take back")


QWENS = (
    "{% if messages[0].role != 'system' %}<|im_start|>system\nYou are Qwen.<|im_end|>\n{% endif %}"
)


def test_a_system_prompt_that_is_off_is_off_where_the_template_has_its_own(session, parrot):
    """Without a message the template's own text would come back."""
    tokenizer = parrot.tokenizer
    jinja, tokenizer.chat_template = tokenizer.chat_template, QWENS + tokenizer.chat_template
    try:
        session.system = ""
        assert run("/system", session)[1] == (
            "no system prompt; the chat template writes one: You are Qwen."
        )
        asked = [{"role": "user", "content": "Hi"}]
        text = tokenizer.decode(prompt_ids(tokenizer, session.messages[:1]))
        assert text.startswith("<|im_start|>system\nYou are Qwen.<|im_end|>\n<|im_start|>user")
        assert run("/system off", session) == (True, "no system prompt")
        text = tokenizer.decode(prompt_ids(tokenizer, session.messages[:2]))
        assert text.startswith("<|im_start|>system\n<|im_end|>\n<|im_start|>user\nHi")
        assert session.messages[1:2] == asked
    finally:
        tokenizer.chat_template = jinja


def test_save_and_load(session, tmp_path):
    file = tmp_path / "a folder" / "chat.json"
    _, said = run(f"/save {file}", session)
    assert said.startswith("/save failed: ")
    file.parent.mkdir()
    assert run(f"/save {file}", session)[1] == f"saved 3 messages to {file}"
    session.reset()
    assert run(f"/load {file}", session)[1] == f"loaded 3 messages from {file}"
    assert len(session.history) == 2
    assert run(f"/save {file}", session)[1] == f"saved 3 messages to {file}"  # its own file


def test_save_overwrites_no_other_file(session, tmp_path):
    file = tmp_path / "mine.json"
    file.write_text("precious")
    assert "is there already" in run(f"/save {file}", session)[1]
    assert file.read_text() == "precious"


@pytest.mark.parametrize("line", ["/save", "/load "])
def test_a_file_must_be_named(session, line):
    assert "needs the name of a file" in run(line, session)[1]


def test_an_unknown_command_offers_the_nearest(session):
    goes_on, said = run("/rest", session)
    assert goes_on
    assert "unknown command /rest; did you mean '/reset'?" in said


@pytest.mark.parametrize("line", ["reset", " /reset", "EXIT now", "/usr/bin\nis a folder", ""])
def test_messages_for_the_model(line):
    assert not is_command(line)
