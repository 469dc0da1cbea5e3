"""Where an answer ends: after the token that ends the turn, before the line break that follows it.

    <|im_start|>assistant
    «Four.<|im_end|>»
    <|im_start|>user

A model that is not trained to write that token never stops; one that is trained to write the
line break after it learns something that no generation ever asks for. Two more kinds there are:

    «Four.<|END_RESPONSE|><|END_OF_TURN|>»    several tokens, and the tokenizer's EOS is the last
    «Four.<|user|>»                           none after the last answer: what opens the next turn
                                              ends each answer, and is put after the last one
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

from xtune.data.map_fns.base import UnusableRow
from xtune.data.templates.call_style import CALL, RESULT, TOOL
from xtune.data.templates.end_of_call import EndOfCall, end_of_call
from xtune.data.templates.render import Renderer
from xtune.errors import TemplateError
from xtune.structures import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["PROBE", "EndOfTurn", "special_tokens"]

PROBE = "xtune's probe"  # an answer that no template writes of itself

_QUESTION: Message = {"role": "user", "content": "?"}
_SYSTEM: Message = {"role": "system", "content": "?"}
_ANSWER: Message = {"role": "assistant", "content": PROBE}


class EndOfTurn:
    """How a chat template ends an answer.

    Attributes:
        token: the token at which a plain answer stops, the last that is trained, or None when the
            template writes none.
        tokens: it, and what stops a call if that is another one.
        text: all that is trained behind the last word of a plain answer.

    Args:
        renderer: the template.
        tokenizer: its special tokens are the ones that can end a turn.
    """

    def __init__(self, renderer: Renderer, tokenizer: PreTrainedTokenizerBase) -> None:
        self._special = special_tokens(tokenizer)
        longest_first = sorted(self._special, key=len, reverse=True)
        self._any = re.compile("|".join(map(re.escape, longest_first)) or "(?!)")
        self._closing = _after_the_answer(renderer, [])
        between = _after_the_answer(renderer, [_QUESTION])
        self.token, self._kept = self._end_in(self._closing, between, tokenizer.eos_token)
        self._of_next = self._of_next_after_call = ""
        if self.token is None and (opening := self._opening(between)):
            self._of_next = self._of_next_after_call = opening
            self._of_next_after_call = self._opening(_after_the_call(renderer)) or opening
            self.token = opening.lstrip()
        self.text = self._closing[: self._kept] or self._of_next
        self._renderer = renderer
        words = (self.token, self._of_next_after_call.lstrip())
        self.tokens = tuple(dict.fromkeys(word for word in words if word))

    @cached_property
    def of_call(self) -> EndOfCall:
        """How a turn of one call ends."""
        return end_of_call(self._renderer, self._any, self.token)

    def cut(self, written: str) -> int:
        """Return how many characters of `written` are trained.

        Args:
            written: what the template writes for one assistant message, after the prompt.
        """
        if written.endswith(self._closing):
            return len(written) - len(self._closing) + self._kept
        # A tool call may end otherwise than a plain answer does (<|eom_id|>, not <|eot_id|>): up
        # to the stop token among the special ones that stand, with white space, at the very end,
        # or to the first of them.
        first = stop = 0
        position = len(written.rstrip())
        while last := next((t for t in self._special if written.endswith(t, 0, position)), None):
            first = position
            stop = position if last == self.token else stop
            position = len(written[: position - len(last)].rstrip())
        return stop or first or len(written.rstrip())

    def of_next(self, rest: str) -> str:
        """Return what ends an answer, where that is the opening of the next turn; mostly ''.

        Args:
            rest: what the template writes after the answer.
        """
        for opening in (self._of_next, self._of_next_after_call):
            if opening and rest.startswith(opening):
                return opening
        return ""

    def missing(self, answer: Message, trained: str) -> str:
        """Return what the end of a last answer lacks, which the template writes none after.

        Args:
            answer: the message.
            trained: its text.
        """
        if lacking := self.missing_after_call(answer, trained):
            return lacking
        if not self._of_next or trained.endswith(self._special):
            return ""
        return self._of_next_after_call if answer.get("tool_calls") else self._of_next

    def missing_after_call(self, answer: Message, trained: str) -> str:
        """Return what a turn of one call lacks, wherever it stands; see end_of_call.py.

        Args:
            answer: the message.
            trained: its text.
        """
        if len(answer.get("tool_calls") or ()) != 1:
            return ""
        lacking = self.of_call.lacking
        return "" if trained.endswith(lacking) else lacking

    def _end_in(self, closing: str, between: str, eos: Any) -> tuple[str | None, int]:
        """The token that ends an answer and how much of `closing` is trained.

        It is the first special one; but where others follow with nothing between, in the middle
        of a dialogue too, and the EOS is among them, a generation goes on to the EOS.
        """
        found = self._any.search(closing)
        if found is None:
            return None, len(closing.rstrip())
        at = found
        while at[0] != eos and (following := self._any.match(closing, at.end())):
            at = following
            if between and not between.startswith(closing[: at.end()]):
                break
            if at[0] == eos:
                return at[0], at.end()
        return found[0], found.end()

    def _opening(self, text: str) -> str:
        """The special token that a text begins with, and the white space before it; or ''."""
        blank = len(text) - len(text.lstrip())
        found = self._any.match(text, blank)
        return text[: found.end()] if found else ""


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """Return the texts that this tokenizer turns into one special token each, sorted."""
    added = {str(t) for t in tokenizer.added_tokens_decoder.values() if t.special}
    return tuple(sorted(added | set(tokenizer.all_special_tokens)))


def _after_the_answer(renderer: Renderer, later: Sequence[Message]) -> str:
    """What the template writes after a plain answer, line break and all."""
    for opening in ([_QUESTION], [_SYSTEM, _QUESTION]):
        try:
            return renderer([*opening, _ANSWER, *later]).rpartition(PROBE)[2]
        except UnusableRow:
            continue
    return ""


def _after_the_call(renderer: Renderer) -> str:
    """What the template writes between a call and its result."""
    call: Message = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    try:
        alone = renderer([_QUESTION, call], [TOOL]).rstrip()
        answered = renderer([_QUESTION, call, RESULT], [TOOL])
    except (UnusableRow, TemplateError):
        return ""
    return answered[len(alone) :] if answered.startswith(alone) else ""
