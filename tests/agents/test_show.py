"""Steps on a terminal, and a person's say."""

from __future__ import annotations

import io

import pytest

from xtune.agents.base import Step
from xtune.agents.calling import Approval
from xtune.agents.show import Human, StepsShown, require_terminal
from xtune.data.tool_calls import Call
from xtune.errors import UsageError

CALL = Call("add", {"a": 1})


def human(*typed):
    said = []
    lines = list(typed)

    def read(prompt):
        if not lines:
            raise EOFError
        return lines.pop(0)

    return Human(read, said.append), said


@pytest.mark.parametrize(
    ("typed", "approval"),
    [
        (["y"], Approval()),
        (["what", "", "yes"], Approval()),
        (["n too easy"], Approval("refuse", reason="too easy")),
        (["e", '{"a": 2}'], Approval(call=Call("add", {"a": 2}))),
        (['e {"a": 2}'], Approval(call=Call("add", {"a": 2}))),
        (["e", "a=2", "e [1]", "n"], Approval("refuse")),
        ([], Approval("refuse", reason="nobody is there to confirm it")),
    ],
)
def test_a_person_is_asked(typed, approval):
    asked, said = human(*typed)
    assert asked(CALL) == approval
    assert said[0] == 'next: add {"a": 1}'


def test_yes_to_all_asks_no_more():
    asked, said = human("a")
    assert (asked(CALL), asked(CALL), len(said)) == (Approval(), Approval(), 1)


def test_nobody_to_ask_is_misuse():
    with pytest.raises(UsageError, match="--approve all runs every action"):
        require_terminal(False)


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_colours_and_no_control_characters_of_others(monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = Terminal()
    shown = StepsShown(terminal)
    shown.text("Thought: \x1b[31mred")
    shown.step(
        Step(number=1, kind="call", tool="add", arguments={"a": "\x1b[5m"}, result="3\x1b]0;x\x07")
    )
    written = terminal.getvalue()
    assert "\x1b[1;36m→ add" in written
    assert "[31mred" in written
    assert "\x1b[31mred" not in written
    assert "\x1b]0;" not in written


def test_a_long_result_is_cut_and_files_are_named():
    pipe = io.StringIO()
    lines = "\n".join(map(str, range(40)))
    StepsShown(pipe).step(Step(number=1, kind="call", tool="t", result=lines, files=("/a/b.png",)))
    text = pipe.getvalue()
    assert text.startswith("→ t {}\n← 0  (0.0 s)\n  1\n")
    assert "… 28 more lines" in text
    assert "file: /a/b.png" in text


def test_an_answer_in_plain_text_is_written_once_and_one_in_a_form_once_more(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")  # no colours
    for file, plain, text in (
        (Terminal(), True, "It is 3.\n"),
        (Terminal(), False, "It is 3.\nIt is 3.\n"),
        (io.StringIO(), False, "It is 3.\n"),
    ):
        shown = StepsShown(file, plain=plain)
        shown.text("It is ")
        shown.text("3.")
        shown.step(Step(number=1, kind="answer", result="It is 3."))
        assert file.getvalue() == text


def test_a_refusal_and_a_repair_say_what_they_are():
    pipe = io.StringIO()
    shown = StepsShown(pipe)
    shown.step(Step(number=1, kind="refused", tool="t", result="no", ok=False))
    shown.step(Step(number=2, kind="repair", result="it is empty", ok=False))
    assert pipe.getvalue() == "→ t {}\n← refused: no\n← repair: it is empty\n"
