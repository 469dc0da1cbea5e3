"""Where an answer ends: after the token that ends the turn, before the line break that follows it.

    <|im_start|>assistant
    «Four.<|im_end|>»
    <|im_start|>user

A model that is not trained to write that token never stops; one that is trained to write the
line break after it learns something that no generation ever asks for.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from xtune.data.map_fns.base import UnusableRow
from xtune.data.templates.render import Renderer
from xtune.structures import Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["PROBE", "EndOfTurn", "special_tokens"]

PROBE = "xtune's probe"  # an answer that no template writes of itself


class EndOfTurn:
    """How a chat template ends an answer.

    Attributes:
        token: the token that ends a plain answer, or None when the template writes none.

    Args:
        renderer: the template.
        tokenizer: its special tokens are the ones that can end a turn.
    """

    def __init__(self, renderer: Renderer, tokenizer: PreTrainedTokenizerBase) -> None:
        self._special = special_tokens(tokenizer)
        self._closing = _closing(renderer)
        longest_first = sorted(self._special, key=len, reverse=True)
        match = re.search("|".join(map(re.escape, longest_first)) or "(?!)", self._closing)
        self.token = match[0] if match else None
        self._kept = match.end() if match else len(self._closing.rstrip())

    def cut(self, written: str) -> int:
        """Return how many characters of `written` are trained.

        Args:
            written: what the template writes for one assistant message, after the prompt.
        """
        if written.endswith(self._closing):
            return len(written) - len(self._closing) + self._kept
        # A tool call may end otherwise than a plain answer does (<|eom_id|>, not <|eot_id|>):
        # the first of the special tokens that stand, with white space, at the very end.
        end = position = len(written.rstrip())
        while last := next((t for t in self._special if written.endswith(t, 0, position)), None):
            end = position
            position = len(written[: position - len(last)].rstrip())
        return end


def special_tokens(tokenizer: PreTrainedTokenizerBase) -> tuple[str, ...]:
    """Return the texts that this tokenizer turns into one special token each, sorted."""
    added = {str(t) for t in tokenizer.added_tokens_decoder.values() if t.special}
    return tuple(sorted(added | set(tokenizer.all_special_tokens)))


def _closing(renderer: Renderer) -> str:
    """What the template writes after a plain answer, line break and all."""
    question: Message = {"role": "user", "content": "?"}
    answer: Message = {"role": "assistant", "content": PROBE}
    system: Message = {"role": "system", "content": "?"}
    for opening in ([question], [system, question]):
        try:
            return renderer([*opening, answer]).rpartition(PROBE)[2]
        except UnusableRow:
            continue
    return ""
