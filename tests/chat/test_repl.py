"""Which stream gets what, and that nothing a message does ends the loop."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest

from xtune.chat.repl import Repl
from xtune.chat.session import ChatSession
from xtune.generation.settings import GenerationSettings


class Terminal(io.StringIO):
    def isatty(self):
        return True


def converse(parrot, messages, *, answers=None, max_new_tokens=80):
    answers = answers or io.StringIO()
    notices = io.StringIO()
    repl = Repl(answers=answers, notices=notices)
    session = ChatSession(
        parrot, settings=GenerationSettings(max_new_tokens=max_new_tokens), notice=repl.notice
    )
    failed = repl.run(messages, session)
    return answers.getvalue(), notices.getvalue(), failed


def test_answers_go_to_one_stream_and_all_else_to_the_other(parrot):
    messages = ["Who are you?", "/reset", "Bye", "/exit", "Who are you?"]
    answers, notices, failed = converse(parrot, messages)
    assert answers == "A parrot.\nBye!\n"
    assert notices == "forgot the dialogue\n"
    assert failed == 0


def test_retry_answers_the_last_message_in_place_of_the_answer(parrot):
    messages = ["/retry", "Who are you?", "/retry", "/undo", "/retry"]
    answers, notices, failed = converse(parrot, messages)
    assert answers == "A parrot.\nA parrot.\n"
    assert notices == (
        "there is nothing to answer once more\ntook back: Who are you?\n"
        "there is nothing to answer once more\n"
    )
    assert failed == 0


def test_a_message_too_long_is_an_error_and_the_loop_goes_on(parrot):
    answers, notices, failed = converse(parrot, ["x " * 3000, "Bye"])
    assert answers == "Bye!\n"
    assert "shorten it" in notices
    assert failed == 1


def test_an_answer_cut_by_the_limit_says_so(parrot):
    answers, notices, _ = converse(parrot, ["Who are you?"], max_new_tokens=3)
    assert answers
    assert "cut after 3 tokens" in notices


def test_an_answer_of_nothing_is_said_to_be_one(parrot):
    silent = replace(parrot, stop_words=("A",))  # its first word
    answers, notices, failed = converse(silent, ["Who are you?"])
    assert (answers, failed) == ("\n", 0)
    assert notices == "the model ended its answer at once\n"


@pytest.mark.parametrize("when", ["in the answer", "before it"])
def test_ctrl_c_stops_an_answer_and_the_loop_goes_on(parrot, when, monkeypatch):
    session = ChatSession(parrot, settings=GenerationSettings(max_new_tokens=80))
    plain = session.ask

    def interrupted(text, on_text):
        def once(piece):
            on_text(piece)
            raise KeyboardInterrupt

        monkeypatch.setattr(session, "ask", plain)
        if when == "before it":
            raise KeyboardInterrupt
        return plain(text, once)

    monkeypatch.setattr(session, "ask", interrupted)
    answers, notices = io.StringIO(), io.StringIO()
    Repl(answers=answers, notices=notices).run(["Who are you?", "/reset", "Bye"], session)
    assert answers.getvalue().endswith("Bye!\n")
    assert "A parrot." not in answers.getvalue()
    assert "stopped" in notices.getvalue()


def test_a_terminal_gets_no_control_characters(parrot, monkeypatch):
    terminal = Terminal()
    Repl(answers=terminal, notices=io.StringIO())._write("a\x1b[31mred\x07\x9b\tb\nc\u202f")
    assert terminal.getvalue() == "a[31mred\tb\nc\u202f"
    pipe = io.StringIO()
    Repl(answers=pipe, notices=io.StringIO())._write("a\x1b[31m")
    assert pipe.getvalue() == "a\x1b[31m"
