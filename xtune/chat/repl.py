"""Read, answer, repeat. Answers go to one stream and everything else to another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TextIO

from xtune.chat.commands import is_command, is_retry, run_command
from xtune.chat.session import ChatSession
from xtune.errors import XtuneError
from xtune.generation.answer import Answer

__all__ = ["Repl", "printable"]

# What a model writes is not trusted: an escape sequence could recolour the terminal or worse.
_CONTROL = {code: None for code in (*range(32), 127, *range(128, 160)) if chr(code) not in "\n\t"}


class Repl:
    """The loop between a source of messages and a session.

    Args:
        answers: where answers are written as they come.
        notices: where everything else goes.
    """

    def __init__(self, *, answers: TextIO, notices: TextIO) -> None:
        self._answers = answers
        self._notices = notices

    def run(self, messages: Iterable[str], session: ChatSession) -> int:
        """Answer every message; return how many could not be answered.

        Args:
            messages: in order, as they are typed.
            session: keeps the dialogue.
        """
        failed = 0
        for message in messages:
            if is_retry(message):
                again = session.undo()
                if again is None:
                    self.notice("there is nothing to answer once more")
                    continue
                message = again
            elif is_command(message):
                if not run_command(message, session, self.notice):
                    break
                continue
            try:
                self.answer(message, session)
            except XtuneError as error:
                self.notice(str(error))
                failed += 1
            except KeyboardInterrupt:
                self.notice("stopped before the answer began")
        return failed

    def answer(self, message: str, session: ChatSession) -> Answer:
        """Answer one message.

        Args:
            message: the user's.
            session: keeps the dialogue.

        Raises:
            UsageError: the message alone fills the context.
            TemplateError: the chat template refuses the dialogue.
        """
        answer = session.ask(message, self._write)
        self._write("\n")
        if not answer.text.strip() and answer.ended_by == "stop":
            self.notice("the model ended its answer at once")
        elif answer.ended_by == "interrupt":
            self.notice("stopped; the dialogue goes on from here")
        elif answer.ended_by == "length":
            self.notice(
                f"cut after {answer.tokens} tokens: by --max-new-tokens or the end of the context"
            )
        return answer

    def notice(self, text: str) -> None:
        """Say something that is no answer."""
        dim = self._notices.isatty()
        print(f"\x1b[2m{text}\x1b[0m" if dim else text, file=self._notices, flush=True)

    def _write(self, text: str) -> None:
        self._answers.write(printable(text) if self._answers.isatty() else text)
        self._answers.flush()


def printable(text: str) -> str:
    """Return a text without control characters, but for line breaks and tabs."""
    return text.translate(_CONTROL)
