"""What a person sees of an agent at work, and what a program reads of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TextIO

from rich.console import Console
from rich.text import Text

from xtune.agents.base import Outcome, Step
from xtune.agents.calling import Approval
from xtune.agents.session import AgentSession
from xtune.chat.repl import Repl, printable
from xtune.chat.session import ChatSession
from xtune.data.tool_calls import Call
from xtune.errors import UsageError

__all__ = ["AgentRepl", "Human", "JsonLines", "StepsShown", "require_terminal"]

_LINES = 12  # of a result that is shown
_COLOURS = {"repeat": "yellow", "refused": "yellow", "repair": "yellow", "end": "red"}


class StepsShown:
    """A watcher that writes steps in colour, and the model's text as it comes.

    Args:
        file: where to; anything but a terminal gets the steps alone, without colour.
        plain: whether what the model writes is plain text, its answer as it stands; else it is in
            a form, and the answer is written once more without it.
    """

    def __init__(self, file: TextIO, *, plain: bool = False) -> None:
        self._style = "" if plain else "dim"
        self._console = Console(file=file, highlight=False, soft_wrap=True)
        self._written = ""

    def text(self, piece: str) -> None:
        """Write a piece of what the model writes; what it means is not known yet."""
        if not self._console.is_terminal:
            return
        self._written += piece
        self._console.print(Text(printable(piece), style=self._style), end="")

    def step(self, step: Step) -> None:
        """Write a step that is done."""
        said = self._written.strip()
        if self._written and not self._written.endswith("\n"):
            self._console.print()
        self._written = ""
        if step.kind == "answer":
            if step.thought and step.thought not in said:
                self._line(step.thought, "dim italic")
            if self._style or step.result.strip() != said:
                self._line(step.result, "bold")
            return
        if step.tool:
            given = json.dumps(dict(step.arguments), ensure_ascii=False)
            shown = Text(f"→ {printable(step.tool)} ", style="bold cyan")
            self._console.print(shown + Text(printable(given), style="cyan"))
        colour = _COLOURS.get(step.kind, "green" if step.ok else "red")
        label = "" if step.kind == "call" else f"{step.kind}: "
        time = f"  ({step.seconds:.1f} s)" if step.kind == "call" else ""
        lines = printable(label + step.result).splitlines() or [""]
        for number, line in enumerate(lines[:_LINES]):
            self._line(
                ("← " if number == 0 else "  ") + line + (time if number == 0 else ""), colour
            )
        if len(lines) > _LINES:
            self._line(f"  … {len(lines) - _LINES} more lines", "dim")
        for file in step.files:
            self._line(f"  file: {file}", "magenta")

    def _line(self, text: str, style: str) -> None:
        self._console.print(Text(printable(text), style=style))


class JsonLines:
    """A watcher that writes each step as one line of JSON.

    Args:
        file: where to.
    """

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def text(self, piece: str) -> None:
        """Say nothing: a step says it all."""

    def step(self, step: Step) -> None:
        """Write a line."""
        print(json.dumps(step.as_json(), ensure_ascii=False), file=self._file, flush=True)


class AgentRepl(Repl):
    """The loop between a source of messages and an agent's session.

    Steps go to the answers' stream if that is a terminal, else to the notices', so that a pipe gets
    answers alone.

    Args:
        answers: where answers are written.
        notices: where everything else goes.
        as_json: write steps to `answers` as lines of JSON, and nothing else there.
        plain: see `StepsShown`.
    """

    def __init__(
        self, *, answers: TextIO, notices: TextIO, as_json: bool = False, plain: bool = False
    ) -> None:
        super().__init__(answers=answers, notices=notices)
        self._as_json = as_json
        to_person = answers if answers.isatty() else notices
        self._watcher = JsonLines(answers) if as_json else StepsShown(to_person, plain=plain)
        self.unanswered = 0

    def answer(self, message: str, session: ChatSession) -> Outcome:  # type: ignore[override]
        """Answer one message; count it in `unanswered` if there is no answer.

        Args:
            message: what is asked.
            session: answers it, and is given it for its history.
        """
        assert isinstance(session, AgentSession)
        outcome = session.pursue(message, self._watcher)
        if outcome.ended_by == "answer":
            if not self._as_json and not self._answers.isatty():
                self._write(outcome.answer + "\n")
            if not outcome.steps[-1].ok:
                self.notice("cut: by --max-new-tokens or the end of the context")
        else:
            self.unanswered += outcome.ended_by != "interrupt"
            self.notice("the message is forgotten, and the dialogue goes on without it")
        return outcome


class Human:
    """Asks a person before each call.

    Args:
        read: asks with a text and returns what was typed; raises EOFError at the end.
        say: shows a text.
    """

    def __init__(self, read: Callable[[str], str], say: Callable[[str], None]) -> None:
        self._read = read
        self._say = say
        self._all = False

    def __call__(self, call: Call) -> Approval:
        """Return what the person says to a call."""
        if self._all:
            return Approval()
        given = json.dumps(call.arguments, ensure_ascii=False)
        self._say(f"next: {printable(call.name)} {printable(given)}")
        while True:
            try:
                typed = self._read("[y]es, [n]o (and why), [e]dit, yes to [a]ll? ").strip()
            except EOFError:
                return Approval("refuse", reason="nobody is there to confirm it")
            letter, _, rest = typed.partition(" ")
            if letter.lower() in ("y", "yes"):
                return Approval()
            if letter.lower() in ("a", "all"):
                self._all = True
                return Approval()
            if letter.lower() in ("n", "no"):
                return Approval("refuse", reason=rest.strip())
            if letter.lower() in ("e", "edit") and (edited := self._edited(call, rest)):
                return Approval(call=edited)

    def _edited(self, call: Call, typed: str) -> Call | None:
        try:
            text = typed or self._read("arguments, as JSON: ")
            arguments = json.loads(text)
            if not isinstance(arguments, dict):
                raise ValueError("not an object")
        except (ValueError, RecursionError) as error:
            self._say(f"these are no arguments: {error}")
            return None
        return Call(call.name, arguments, call.id)


def require_terminal(has_one: bool) -> None:
    """Refuse `--approve ask` where nobody can be asked.

    Raises:
        UsageError: there is no terminal.
    """
    if not has_one:
        raise UsageError(
            "--approve ask needs a terminal to ask at; --approve all runs every action, "
            "--approve none refuses each"
        )
