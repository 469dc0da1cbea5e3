"""Spans to token ids, with the trained ones marked.

    spans    "…user\\nHi<|im_end|>\\n<|im_start|>assistant\\n"   "Hello.<|im_end|>"   "\\n"
    ids         1 4093  2683  2  198  1  520  9531  198        19556  30  2         198
    trained     .  .     .    .   .   .   .    .     .           x    x   x          (cut)

A dialogue is tokenised whole, since that is how the model will be given the earlier turns; the
spans' borders are then found in it. Where a token reaches over the border of an answer, or where
the tokenizer would have split the prompt otherwise had it ended there, the spans are tokenised
apart: the ids of a dialogue's first prompt are always those that `apply_chat_template` gives for
it, and those of the later prompts are unless an earlier answer was such a case.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from xtune.data.common_head import CommonHead, Head
from xtune.structures import IGNORE_INDEX, Sample, Span

if TYPE_CHECKING:
    from tokenizers import Encoding
    from transformers import PreTrainedTokenizerBase

__all__ = ["Encoder", "sample_of"]

_LOOK_BACK = 8  # characters before a border on which a tokenizer's split there may depend


class Encoder:
    """Tokenises rendered dialogues, many at a time.

    Args:
        tokenizer: fast or slow; nothing is added to the text's own special tokens.
        weigh: gives the spans of a dialogue their weights; None: as they come.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        weigh: Callable[[Sequence[Span]], Sequence[Span]] | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._weigh = weigh
        self._head = CommonHead(tokenizer)
        self._ends_alike = lru_cache(maxsize=4096)(self._compare_ends)
        # A SentencePiece tokenizer puts a space before any text; a text that goes on must not
        # get one. After a line break it gets none.
        alone, after_break = self._ids("a"), self._ids("\na")
        self._lead = "" if after_break[len(self._ids("\n")) :] == alone else "\n"

    def __call__(self, samples: Sequence[Sequence[Span]]) -> list[Sample]:
        """Tokenise a chunk of rendered dialogues; see `sample_of` for what is cut."""
        if self._weigh is not None:
            samples = [self._weigh(spans) for spans in samples]
        if not samples or not self._tokenizer.is_fast:  # transformers fails on an empty list
            return [self._apart(spans) for spans in samples]
        texts = ["".join([span.text for span in spans]) for spans in samples]
        head = self._head(texts, limit=min(len(spans[0].text) for spans in samples))
        encoded = self._tokenizer(
            [text[len(head.text) :] for text in texts],
            add_special_tokens=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        made = []
        for spans, text, encoding in zip(samples, texts, encoded.encodings, strict=True):
            sample = self._whole(spans, text, head, encoding)
            made.append(self._apart(spans) if sample is None else sample)
        return made

    def _whole(
        self, spans: Sequence[Span], text: str, head: Head, encoding: Encoding
    ) -> Sample | None:
        """Mark the answers in the ids of the whole text; None if a border is no token's border.

        Args:
            spans: of the text; the first reaches over the head at least.
            text: all of it.
            head: its beginning.
            encoding: the rest.
        """
        ids = np.array(head.ids + encoding.ids, dtype=np.int32)
        trained = np.zeros(len(ids), dtype=bool)
        weights = _ones_if_weighted(spans, len(ids))
        begin = 0  # token
        borders = accumulate(len(span.text) for span in spans)
        for span, border in zip(spans, borders, strict=True):
            end = len(ids) if border == len(text) else self._token_at(border, text, head, encoding)
            if end is None:
                return None
            trained[begin:end] = span.trained
            if weights is not None and span.weights:
                starts = _starts_by_place(span, border - len(span.text) - len(head.text), encoding)
                if starts is None:
                    starts = self._starts_in(span, ids[begin:end].tolist())
                else:
                    starts = [0, *(len(head.ids) + start - begin for start in starts)]
                _weigh(weights[begin:end], span, starts)
            begin = end
        return sample_of(ids, trained, weights)

    def _token_at(self, border: int, text: str, head: Head, encoding: Encoding) -> int | None:
        """The token that begins at a character, if one does and the text may be cut there."""
        token = encoding.char_to_token(border - len(head.text))
        place = None if token is None else encoding.token_to_chars(token)
        if token is None or place is None or place[0] != border - len(head.text):
            return None
        before, after = text[max(border - _LOOK_BACK, 0) : border], text[border]
        if before[-2:].isspace() and not self._ends_alike(before, after):
            return None
        return len(head.ids) + token

    def _compare_ends(self, before: str, after: str) -> bool:
        # GPT-2's pattern takes '\n\n' as one piece at the end of a text and as two before a
        # letter; a prompt that ends so is given to the model as one.
        alone = self._ids(before)
        return self._ids(before + after)[: len(alone)] == alone

    def _apart(self, spans: Sequence[Span]) -> Sample:
        """Tokenise each span as the continuation of the one before."""
        pieces = [
            self._continued(span.text) if index else self._ids(span.text)
            for index, span in enumerate(spans)
        ]
        lengths = [len(ids) for ids in pieces]
        trained = np.repeat([span.trained for span in spans], lengths)
        weights = _ones_if_weighted(spans, sum(lengths))
        if weights is not None:
            for span, ids, end in zip(spans, pieces, accumulate(lengths), strict=True):
                if span.weights:
                    _weigh(weights[end - len(ids) : end], span, self._starts_in(span, ids))
        return sample_of(np.array(sum(pieces, []), dtype=np.int32), trained, weights)

    def _starts_in(self, span: Span, ids: list[int]) -> list[int]:
        """For each part of a span, the first of its tokens.

        What stands before a border is tokenised alone: the ids that are the same are of the parts
        before it, and so is the first that is not, which reaches over the border.
        """
        starts, text = [0], 0
        for characters, _ in span.weights[:-1]:
            text += characters
            alone = self._continued(span.text[:text])
            same = next(
                (n for n, (a, b) in enumerate(zip(alone, ids, strict=False)) if a != b), len(alone)
            )
            starts.append(min(same + (same < len(alone)), len(ids)))
        return starts

    def _continued(self, text: str) -> list[int]:
        lead = self._ids(self._lead) if self._lead else []
        ids = self._ids(self._lead + text)
        return ids[len(lead) :] if ids[: len(lead)] == lead else self._ids(text)

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False, verbose=False)


def _starts_by_place(span: Span, begin: int, encoding: Encoding) -> list[int] | None:
    """The first token of each part of a span but the first; None where places do not tell.

    Args:
        span: has weights.
        begin: the character of the encoded text where it begins.
        encoding: of the text.
    """
    starts = []
    for characters, _ in span.weights[:-1]:
        begin += characters
        token = encoding.char_to_token(begin) if begin > 0 else None
        place = None if token is None else encoding.token_to_chars(token)
        if token is None or place is None:
            return None
        starts.append(token + (place[0] < begin))  # what reaches over the border is before it
    return starts


def _ones_if_weighted(spans: Sequence[Span], tokens: int) -> np.ndarray | None:
    return np.ones(tokens, np.float32) if any(span.weights for span in spans) else None


def _weigh(weights: np.ndarray, span: Span, starts: Sequence[int]) -> None:
    """Write over the weights of a span's tokens those of its parts."""
    for start, (_, weight) in zip(starts, span.weights, strict=True):
        weights[start:] = weight


def sample_of(ids: np.ndarray, trained: np.ndarray, weights: np.ndarray | None = None) -> Sample:
    """Make a Sample: what stands after the last trained token is cut, for it teaches nothing.

    The first token is never a label, since nothing comes before it.

    Args:
        ids: int32 [L].
        trained: bool [L].
        weights: float32 [L]; what counts 0 is not trained. None: all count once.

    Returns:
        Sample of at most L tokens; of none if nothing is trained.
    """
    trained[:1] = False
    if weights is not None:
        trained &= weights > 0
    places = trained.nonzero()[0]
    length = int(places[-1]) + 1 if len(places) else 0
    labels = np.full(length, IGNORE_INDEX, dtype=np.int32)
    labels[places] = ids[places]
    if weights is None or (weights[places] == 1).all():
        return Sample(ids[:length], labels)
    return Sample(ids[:length], labels, {"weights": weights[:length]})
