"""From token ids to the text a reader may see, one token at a time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Answer"]

# A character is at most four UTF-8 bytes, hence four byte-level tokens; a replacement character
# that is still there after more tokens than this is one that the model really wrote.
_TOKENS_OF_A_CHARACTER = 6


class Answer:
    """An answer that grows by one token at a time.

    `push` returns the text that may be shown now. Held back are: special tokens, half a multi-byte
    character, and what may turn out to be the beginning of a stop word. The cost of a token does
    not grow with the answer: only a window of the last tokens is decoded, and the window keeps
    the token before the new ones, because a tokenizer may strip the space of a first word.

        ids       [ ... | before | new ]     text of window = text of `before` + what is new
                         ^window  ^read

    Args:
        tokenizer: decodes the ids.
        stop_ids: token ids that end the answer; they are no part of its text.
        stop_words: strings that end it, for those that are no single token.
        frame: what the chat template itself writes before and after an answer; it is no part of
            the text, or it would stand twice when the answer is rendered as history.

    Attributes:
        text: what has been released.
        tokens: how many tokens were pushed, the one that ended it included.
        ended_by: 'stop' once a stop id or word has come; 'length' if it never did; 'interrupt'
            where whoever listened stopped it.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        stop_ids: Collection[int] = (),
        stop_words: Sequence[str] = (),
        frame: tuple[str, str] = ("", ""),
    ) -> None:
        self.text = ""
        self.tokens = 0
        self.ended_by: Literal["stop", "length", "interrupt"] = "length"
        self._tokenizer = tokenizer
        self._special = set(tokenizer.all_special_ids)
        self._stop_ids = frozenset(stop_ids)
        self._stop_words = tuple(word for word in stop_words if word)
        self._ids: list[int] = []
        self._all: list[int] = []  # special tokens and the one that ended it too
        self._window = 0
        self._read = 0
        self._before, self._after = frame
        # Decoded, but perhaps the beginning of a stop word, or a part of the frame
        self._held = ""

    @property
    def ended(self) -> bool:
        """Whether a stop id or a stop word has come."""
        return self.ended_by == "stop"

    @property
    def marked(self) -> str:
        """The text, with a mark where the answer did not end of itself: for a transcript."""
        return self.text + (f" [cut at {self.tokens} tokens]" if self.ended_by == "length" else "")

    @property
    def ids(self) -> list[int]:
        """All that was pushed, as ids."""
        return list(self._all)

    @property
    def written(self) -> str:
        """All that was pushed, special tokens and the end included: where calls are looked for."""
        text = self._tokenizer.decode(
            self._all, skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        assert isinstance(text, str)
        return text

    def push(self, token_id: int) -> str:
        """Take the next token; return the text that may be shown now, often none."""
        if self.ended:
            return ""
        self.tokens += 1
        self._all.append(token_id)
        if token_id in self._stop_ids:
            self.ended_by = "stop"
            return self.finish()
        if token_id in self._special:
            return ""
        self._ids.append(token_id)
        whole = self._decode(self._window)
        waiting = len(self._ids) - self._read
        if whole.endswith("\ufffd") and waiting < _TOKENS_OF_A_CHARACTER:
            return ""
        return self._release(self._advance(whole))

    def finish(self) -> str:
        """No more tokens will come: return what was held back, save half a character."""
        waiting = self._read < len(self._ids)
        rest = self._advance(self._decode(self._window)).rstrip("\ufffd") if waiting else ""
        shown = self._release(rest)
        held = self._held.removesuffix(self._after) if self.ended else self._held
        self.text += held
        self._held = ""
        return shown + held

    def _decode(self, start: int, stop: int | None = None) -> str:
        text = self._tokenizer.decode(
            self._ids[start:stop], skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        assert isinstance(text, str)
        return text

    def _advance(self, whole: str) -> str:
        new = whole[len(self._decode(self._window, self._read)) :]
        self._window, self._read = self._read, len(self._ids)
        return new

    def _release(self, new: str) -> str:
        """Add decoded text; give out what cannot belong to a stop word any more."""
        pending = self._held + new
        if self._before:
            if len(pending) < len(self._before) and self._before.startswith(pending):
                self._held = pending
                return ""
            pending = pending.removeprefix(self._before)
            self._before = ""
        found = [at for word in self._stop_words if (at := pending.find(word)) >= 0]
        if found:
            self.ended_by = "stop"
            shown, self._held = pending[: min(found)].removesuffix(self._after), ""
        else:
            # `_overlap` finds the beginnings of a word; the whole of `after` may be the end, too.
            keep = max(_overlap(pending, word) for word in (*self._stop_words, self._after + "."))
            cut = len(pending) - keep
            shown, self._held = pending[:cut], pending[cut:]
        self.text += shown
        return shown


def _overlap(text: str, word: str) -> int:
    """How many characters at the end of `text` are the beginning of `word`.

    >>> _overlap('so <|im', '<|im_end|>')
    4
    """
    for length in range(min(len(text), len(word) - 1), 0, -1):
        if text.endswith(word[:length]):
            return length
    return 0
