"""What a model answered, as those who go on with it need it: a message, with the calls in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from xtune.data.tool_calls import Call, CallForm, MalformedCall, reasoning_in
from xtune.generation.answer import Answer
from xtune.structures import Message

__all__ = ["Reply", "UntilCall", "message_with", "reply_of"]


@dataclass(frozen=True)
class Reply:
    """What a model answered.

    Attributes:
        message: an assistant message; with `tool_calls` where it makes native calls.
        written: all that it wrote, special tokens and the one that ended it included; for forms
            whose marks are special tokens. The content where nothing else is known.
        malformed: what is wrong with a native call that it began; '' if nothing is.
        ended_by: 'length' where the answer was cut; 'interrupt' by Ctrl-C.
    """

    message: Message
    written: str
    malformed: str = ""
    ended_by: Literal["stop", "length", "interrupt"] = "stop"

    @property
    def text(self) -> str:
        """What it said, without its calls."""
        return self.message["content"] or ""

    def __str__(self) -> str:
        return self.text


def reply_of(answer: Answer, form: CallForm | None) -> Reply:
    """Read the calls in a model's answer.

    Args:
        answer: what it wrote.
        form: of its calls; None where it has no tools.
    """
    written = answer.written
    if form is None:
        message: Message = {"role": "assistant", "content": answer.text}
        return Reply(message, written, ended_by=answer.ended_by)
    try:
        text, calls = form.read(written)
    except MalformedCall as error:
        message = message_with(answer.text)
        return Reply(message, written, malformed=str(error), ended_by=answer.ended_by)
    message = message_with(text, calls) if calls else message_with(answer.text)
    return Reply(message, written, ended_by=answer.ended_by)


def message_with(text: str, calls: Sequence[Call] = ()) -> Message:
    """Return an assistant message; reasoning in <think> tags has a place of its own.

    Args:
        text: what it says.
        calls: that it makes.
    """
    reasoning, content = reasoning_in(text)
    message: Message = {"role": "assistant", "content": content.strip() if calls else content}
    if reasoning:
        message["reasoning_content"] = reasoning
    if calls:
        message["tool_calls"] = [call.as_message_part() for call in calls]
    return message


class UntilCall:
    """Passes text on up to where a call begins; what may be a beginning waits for what follows.

    Args:
        on_text: given the text.
        form: of the calls; None: all is text.
    """

    _WAITS = 40  # characters after which a '<' is none

    def __init__(self, on_text: Callable[[str], None], form: CallForm | None) -> None:
        self._on_text = on_text
        self._form = form
        self._held = ""
        self._begun = False

    def push(self, piece: str) -> None:
        """Take a piece of an answer."""
        if self._form is None:
            self._on_text(piece)
        if self._form is None or self._begun:
            return
        self._held += piece
        if found := self._form.opens.search(self._held):
            self._held = self._held[: found.start()]
            self.begin()
            return
        waits = len(self._held) - self._WAITS
        marks = [at for at, letter in enumerate(self._held) if letter in "<[{" and at > waits]
        cut = min(marks, default=len(self._held))
        if cut:
            self._on_text(self._held[:cut])
            self._held = self._held[cut:]

    def begin(self) -> None:
        """A call has begun: what is still held is the text before it."""
        if not self._begun:
            self._held, self._begun = self._held.rstrip(), True
            self.finish()

    def finish(self) -> None:
        """Pass on the text still held: no call has begun."""
        if self._held:
            self._on_text(self._held)
        self._held = ""
