"""One answer as it goes to a client: text, reasoning and calls, in the order in which they come.

A whole answer is the sum of what a stream has sent, so that the two cannot differ:

    pieces of the engine    'Sure'  '.'  '\\n<tool'  '_call>\\n{"name": …'        end
    deltas                  'Sure'  '.'                                        a call of a tool
"""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Sequence
from typing import Any, NamedTuple

from xtune.data.tool_calls import Call, MalformedCall
from xtune.generation.reply import UntilCall
from xtune.generation.row import Noted
from xtune.serve.engine.questions import End, Piece
from xtune.serve.served import ServedModel

__all__ = ["Choice", "Delta"]

_OPEN, _CLOSE = "<think>", "</think>"
_LETTERS = string.ascii_letters + string.digits


class Delta(NamedTuple):
    """A part of an answer.

    Attributes:
        content: text.
        reasoning: what the model thinks before it answers.
        call: a call of a tool in OpenAI's form, whole, with its `index`.
        noted: how likely the tokens were that came since the last part.
    """

    content: str = ""
    reasoning: str = ""
    call: dict[str, Any] | None = None
    noted: tuple[Noted, ...] = ()


class Choice:
    """One answer.

    Args:
        model: that gives it.
        with_tools: calls are looked for.
        is_chat: reasoning in <think> tags is parted from the rest.
        opens_thinking: the prompt ends within reasoning.
        most_calls: that are passed on; None: all.
        notes_end: how likely the token was that ended it is told too, though it is no text.

    Attributes:
        finish_reason: once it has ended: 'stop', 'length' or 'tool_calls'.
        tokens: of the answer.
        known: tokens of the prompt that did not have to be computed.
    """

    def __init__(
        self,
        model: ServedModel,
        *,
        with_tools: bool,
        is_chat: bool = True,
        opens_thinking: bool = False,
        most_calls: int | None = None,
        notes_end: bool = False,
    ) -> None:
        self.finish_reason: str | None = None
        self.tokens = self.known = 0
        self._tokenizer = model.tokenizer
        self._special = set(model.tokenizer.all_special_ids)
        self._unnoted = frozenset(() if notes_end else model.stop_ids)
        self._form = model.call_form if with_tools else None
        self._most_calls = most_calls
        self._made: list[Delta] = []
        self._noted: list[Noted] = []
        self._text = ""  # all that may be shown, the text of a call that cannot be read too
        self._sent = 0  # characters of it that were passed on, or are no text
        self._last: list[int] = []
        self._until = UntilCall(self._say, self._form)
        # None: not known yet
        self._thinks: bool | None = (True if opens_thinking else None) if is_chat else False
        self._begins = bool(self._thinks)  # blanks before reasoning, and behind it, are none
        self._held = ""
        self._blanks = ""

    def push(self, piece: Piece) -> list[Delta]:
        """Take a token; return what can be sent now."""
        if piece.noted is not None and piece.token not in self._unnoted:
            self._noted.append(piece.noted)
        if self._form is not None and piece.token in self._special:
            self._look_for_opening(piece.token)
        if self._form is not None:
            self._last = [*self._last[-7:], piece.token]
        if piece.text:
            self._take(piece.text)
        return self._give()

    def end(self, end: End) -> list[Delta]:
        """No more tokens come; return what is left."""
        self.tokens, self.known = end.tokens, end.known
        if end.text:
            self._take(end.text)
        if self._held:
            self._pass_on(self._held, reasoning=bool(self._thinks))
            self._held = ""
        calls = self._calls(end.written)
        self.finish_reason = "stop" if end.ended_by == "stop" else "length"
        if calls:
            self._made += [
                Delta(call=_as_sent(call, at)) for at, call in enumerate(calls[: self._most_calls])
            ]
            if self.finish_reason == "stop":
                self.finish_reason = "tool_calls"
        else:
            self._until.finish()
            if rest := self._text[self._sent :]:
                self._made.append(Delta(content=rest))
        if self._noted:
            self._made.append(Delta())
        return self._give()

    def _calls(self, written: str) -> Sequence[Call]:
        if self._form is None:
            return ()
        try:
            return self._form.read(written)[1]
        except MalformedCall:
            return ()

    def _look_for_opening(self, token: int) -> None:
        """Special tokens are no text; some open a call."""
        assert self._form is not None
        tail = self._tokenizer.decode([*self._last, token], skip_special_tokens=False)
        if self._form.opens.search(str(tail)):
            self._until.begin()

    def _take(self, text: str) -> None:
        """Part reasoning from the rest, as `reasoning_in` does with a whole answer."""
        self._held += text
        if self._thinks is None:
            begun = self._held.lstrip()
            if not begun or (len(begun) < len(_OPEN) and _OPEN.startswith(begun)):
                return
            self._thinks = self._begins = begun.startswith(_OPEN)
            if self._thinks:
                self._held = begun.removeprefix(_OPEN)
        if self._thinks:
            thought, closing, after = self._held.partition(_CLOSE)
            if self._begins:
                thought = thought.lstrip()
            if not closing:
                cut = _may_be_sent(thought)
                self._begins &= not cut
                self._pass_on(thought[:cut], reasoning=True)
                self._held = thought[cut:]
                return
            self._pass_on(thought.rstrip(), reasoning=True)
            self._thinks, self._held, self._begins = False, after, True
        if self._begins:
            self._held = self._held.lstrip()
            self._begins = not self._held
        self._pass_on(self._held, reasoning=False)
        self._held = ""

    def _pass_on(self, text: str, *, reasoning: bool) -> None:
        if reasoning and text:
            self._made.append(Delta(reasoning=text))
        elif text:
            self._text += text
            self._until.push(text)

    def _say(self, text: str) -> None:
        """Send text, but for blanks at its end, which are no text where a call follows."""
        text = self._blanks + text
        cut = len(text) if self._form is None else len(text.rstrip())
        self._blanks = text[cut:]
        if cut:
            self._sent += cut
            self._made.append(Delta(content=text[:cut]))

    def _give(self) -> list[Delta]:
        made, self._made = self._made, []
        if made and self._noted:
            made[0] = made[0]._replace(noted=tuple(self._noted))
            self._noted = []
        return made


def _may_be_sent(thought: str) -> int:
    """Characters up to what may be the end of the reasoning: blanks, and a part of its mark."""
    for length in range(min(len(thought), len(_CLOSE) - 1), 0, -1):
        if thought.endswith(_CLOSE[:length]):
            return len(thought[:-length].rstrip())
    return len(thought.rstrip())


def _as_sent(call: Call, index: int) -> dict[str, Any]:
    # Nine letters or digits: templates of Mistral's take no other id
    id = call.id or "".join(secrets.choice(_LETTERS) for _ in range(9))
    arguments = json.dumps(call.arguments, ensure_ascii=False)
    function = {"name": call.name, "arguments": arguments}
    return {"index": index, "id": id, "type": "function", "function": function}
