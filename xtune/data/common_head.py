r"""The head that all texts of a chunk share, tokenised once: a system text above all.

    <|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|> user\nAdd 2 and 2.…
    ───────────────────────── the head ─────────────────────────────────────│── the rest ──────

A fast tokenizer takes its added tokens out of a text first, and what stands between two of them
becomes tokens by itself. So a text may be cut right after an added token, if no longer one could
stand there in its place, and if nothing of the tokenizer looks at what came before. That is known
of byte-level BPE, where the text goes through no other steps than those named here; other
tokenizers have no heads.
"""

from __future__ import annotations

import json
import os.path
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from tokenizers import AddedToken
    from transformers import PreTrainedTokenizerBase

__all__ = ["CommonHead", "Head"]

_NORMALIZERS = ("NFC",)  # of the piece that they are given, whatever stands around it
_PRE_TOKENIZERS = ("ByteLevel", "Split", "Digits")


class Head(NamedTuple):
    """The beginning of a text, and its token ids."""

    text: str
    ids: list[int]


class CommonHead:
    """Finds the heads of chunks.

    Args:
        tokenizer: a fast one.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer
        self._last = Head("", [])

    def __call__(self, texts: Sequence[str], *, limit: int) -> Head:
        """Return the longest head that all texts have; ('', []) if there is none.

        Args:
            texts: of a chunk; one alone has no head, which would only be work.
            limit: characters that it may have at most.
        """
        if len(texts) < 2 or not self._cutting:
            return Head("", [])
        common = os.path.commonprefix([min(texts), max(texts)])[:limit]
        ends = {common.rfind(t) + len(t): t for t in self._cutting if t in common}
        if not ends:
            return Head("", [])
        text = common[: max(ends)]
        if text != self._last.text:
            ids = self._tokenizer.encode(text, add_special_tokens=False, verbose=False)
            # One that begins before it may have taken its first characters, and a longer one
            # that holds it may stand there in some of the texts
            token = ends[len(text)]
            holding = [t for t in map(str, self._added.values()) if token in t]
            sure = ids[-1] == self._cutting[token] and holding == [token]
            self._last = Head(text, ids) if sure else Head("", [])
        return self._last

    @cached_property
    def _cutting(self) -> dict[str, int]:
        """The added tokens after which a text may be cut, with their ids."""
        backend = self._tokenizer.backend_tokenizer
        if type(backend.model).__name__ != "BPE" or not (
            _all_are(_state(backend.normalizer), _NORMALIZERS, parts="normalizers")
            and _all_are(_state(backend.pre_tokenizer), _PRE_TOKENIZERS, parts="pretokenizers")
        ):
            return {}
        return {
            token.content: id_
            for id_, token in self._added.items()
            if not (token.lstrip or token.rstrip or token.single_word or token.normalized)
        }

    @property
    def _added(self) -> dict[int, AddedToken]:
        return self._tokenizer.added_tokens_decoder


def _state(step: Any) -> dict[str, Any] | None:
    """A step of a tokenizer as tokenizer.json has it."""
    return None if step is None else json.loads(step.__getstate__())


def _all_are(step: Mapping[str, Any] | None, known: Sequence[str], *, parts: str) -> bool:
    """Whether a step of a tokenizer, or each of a sequence, is known to look at its piece alone."""
    if step is None:
        return True
    if step["type"] == "Sequence":
        return all(_all_are(part, known, parts=parts) for part in step[parts])
    return step["type"] in known and not step.get("add_prefix_space", False)
