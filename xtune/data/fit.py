"""Make a dialogue that is too long fit: the oldest turns go, then the prompt's head.

    too long                       what goes                               counted as
    a dialogue                     its oldest turns; system messages stay  'oldest turns cut'
    one exchange, answer fits      the beginning of the prompt             'prompt cut'
    one exchange, prompt fits      the end of the answer                   'answer cut'
    one exchange, neither fits     the row                                 dropped
    plain text, or tokens          nothing: it becomes several samples     'text split'

Turns are counted, not dialogues, where turns are cut. How many must go is found by bisecting over
lengths of text that is rendered without looking for its answers; then only what stays is rendered
as it is trained, and with one turn more, to be sure.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from xtune.data.map_fns.base import UnusableRow
from xtune.data.templates.base import Template, single_answers
from xtune.data.tokenize import Encoder
from xtune.structures import IGNORE_INDEX, Conversation, Sample, Span

__all__ = ["Shorter", "fit"]


def fit(
    conversation: Conversation,
    samples: list[Sample],
    *,
    template: Template,
    encode: Encoder,
    max_length: int,
    cut: Counter[str],
) -> list[Sample]:
    """Return the samples of one conversation with none longer than `max_length`.

    Args:
        conversation: what the samples were rendered from.
        samples: as the template and the encoder made them, in order.
        template: renders what is left when turns are cut.
        encode: tokenises it.
        max_length: tokens.
        cut: counts what was cut, by kind.

    Raises:
        UnusableRow: neither the prompt nor the answer fits, in any of the samples.
    """
    if all(len(sample) <= max_length for sample in samples):
        return samples
    if "text" in conversation or "input_ids" in conversation:
        cut["text split"] += 1
        return [piece for sample in samples for piece in _split(sample, max_length)]
    parts = [conversation] if len(samples) == 1 else list(single_answers(conversation))
    fitting = []
    guess: int | None = None
    for part, sample in zip(parts, samples, strict=True):
        if len(sample) > max_length:
            turns = _Turns(part, template, encode, max_length)
            if turns.most:
                guess = turns.to_cut(guess)
                cut["oldest turns cut"] += guess
                sample = turns.without(guess)
        if len(sample) <= max_length:
            fitting.append(sample)
        elif exchange := _cut_tokens(sample, max_length, cut):
            fitting.append(exchange)
    if not fitting:
        raise UnusableRow("prompt and answer are each longer than max_length")
    return fitting


class _Turns:
    """A dialogue that is too long, without its first turns.

    Attributes:
        most: turns that may go.
    """

    def __init__(
        self, conversation: Conversation, template: Template, encode: Encoder, max_length: int
    ) -> None:
        self._shorter = Shorter(conversation)
        self._template = template
        self._encode = encode
        self._max_length = max_length
        self._samples: dict[int, Sample] = {}
        self.most = len(self._shorter)

    def without(self, cut: int) -> Sample:
        """Return the sample of what is left without `cut` turns, from 1 on."""
        if cut not in self._samples:
            spans = self._template.spans(self._shorter[cut - 1])
            self._samples[cut] = self._encode([spans])[0]
        return self._samples[cut]

    def to_cut(self, guess: int | None) -> int:
        """Return the fewest turns without which the dialogue fits; `most` if it never does.

        Args:
            guess: as many as of the answer before, or None.
        """
        if guess is None or not self._is(guess):
            guess = bisect_left(range(1, self.most), True, key=self._seems_to_fit) + 1
        while guess < self.most and not self._fits(guess):
            guess += 1
        while guess > 1 and self._fits(guess - 1):
            guess -= 1
        return guess

    def _is(self, cut: int) -> bool:
        return cut <= self.most and self._fits(cut) and (cut == 1 or not self._fits(cut - 1))

    def _fits(self, cut: int) -> bool:
        return len(self.without(cut)) <= self._max_length

    def _seems_to_fit(self, cut: int) -> bool:
        text = self._template.text(self._shorter[cut - 1])
        return len(self._encode([[Span(text, True)]])[0]) <= self._max_length


class Shorter(Sequence[Conversation]):
    """The dialogue without its first turn, without its first two, … down to the last.

    A turn begins with a user message. System messages before the first turn stay. A dialogue
    without a trained answer is not among them.

    Args:
        conversation: has messages.
    """

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._messages = messages = conversation["messages"]
        turns = [i for i, message in enumerate(messages) if message["role"] == "user"]
        self._head = [m for m in messages[: turns[0] if turns else 0] if m["role"] == "system"]
        last = max(
            (i for i, m in enumerate(messages) if m["role"] == "assistant" and m.get("loss", True)),
            default=0,
        )
        self._starts = [start for start in turns[1:] if start < last]

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: Any) -> Any:
        kept = [*self._head, *self._messages[self._starts[index] :]]
        return {**self._conversation, "messages": kept}


def _cut_tokens(sample: Sample, max_length: int, cut: Counter[str]) -> Sample | None:
    prompt = int(np.argmax(sample.labels != IGNORE_INDEX))  # tokens before the first answer
    if len(sample) - prompt < max_length:
        cut["prompt cut"] += 1
        return sample.part(slice(-max_length, None))
    if prompt < max_length:
        cut["answer cut"] += 1
        return sample.part(slice(max_length))
    return None


def _split(sample: Sample, max_length: int) -> Iterator[Sample]:
    # A piece begins with the last token of the one before, as context only: so each token is
    # predicted exactly once.
    for start in range(0, len(sample) - 1, max(max_length - 1, 1)):
        piece = sample.part(slice(start, start + max_length))
        piece.labels = piece.labels.copy()
        piece.labels[0] = IGNORE_INDEX
        yield piece
