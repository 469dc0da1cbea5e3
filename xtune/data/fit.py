"""Make a dialogue that is too long fit: the oldest turns go, then the prompt's head.

    too long                       what goes                               counted as
    a dialogue                     its oldest turns; system messages stay  'oldest turns cut'
    one exchange, answer fits      the beginning of the prompt             'prompt cut'
    one exchange, prompt fits      the end of the answer                   'answer cut'
    one exchange, neither fits     the row                                 dropped
    plain text, or tokens          nothing: it becomes several samples     'text split'

A group of dialogues that begin alike, as a pair, is cut as one, to be no longer together:

    a group                        the oldest turns of all, the same ones  'oldest turns cut'
    its last prompt                as much of its beginning in all         'prompt cut'
    its answers                    never: without their ends they would be others; the row goes

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
from xtune.structures import IGNORE_INDEX, Conversation, Message, Sample, Span

__all__ = ["Shorter", "fit", "fit_group"]


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
        template: renders the turns that are left when others are cut.
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
            turns = _Turns([Shorter(part)], template, encode, max_length)
            if turns.most:
                guess = turns.to_cut(guess)
                cut["oldest turns cut"] += guess
                (sample,) = turns.without(guess)
        if len(sample) <= max_length:
            fitting.append(sample)
        elif exchange := _cut_tokens(sample, max_length, cut):
            fitting.append(exchange)
    if not fitting:
        raise UnusableRow("prompt and answer are each longer than max_length")
    return fitting


def fit_group(
    conversations: Sequence[Conversation],
    samples: list[Sample],
    *,
    template: Template,
    encode: Encoder,
    max_length: int,
    cut: Counter[str],
) -> list[Sample]:
    """Return the samples of a group with no more than `max_length` tokens together.

    Args:
        conversations: that begin alike up to their first trained answer.
        samples: one of each.
        template: renders the turns that are left when others are cut.
        encode: tokenises it.
        max_length: tokens of all samples together.
        cut: counts what was cut, by kind; turns that all have are counted once.

    Returns:
        One sample of each, all with the same tokens before their first answer.

    Raises:
        UnusableRow: the answers do not fit with a token of the prompt before each, or the prompt
            is not written alike before them.
    """
    if _tokens(samples) > max_length:
        shorter = [Shorter(one, up_to=_first_answer(one)) for one in conversations]
        turns = _Turns(shorter, template, encode, max_length)
        if turns.most:
            count = turns.to_cut(None)
            cut["oldest turns cut"] += count
            samples = turns.without(count)
    prompt = _prompt_of_all(samples)
    if (over := _tokens(samples) - max_length) > 0:
        goes = -(-over // len(samples))
        if goes >= prompt:
            alone = len(samples) == 1
            what = "the answer is" if alone else "the answers to one prompt are together"
            raise UnusableRow(f"{what} longer than max_length")
        cut["prompt cut"] += 1
        samples = [sample.part(slice(goes, None)) for sample in samples]
    return samples


def _prompt_of_all(samples: Sequence[Sample]) -> int:
    """How many tokens stand before the first answer of each sample: the same ones."""
    first, *others = samples
    prompt = _prompt(first)
    for other in others:
        alike = np.array_equal(other.input_ids[:prompt], first.input_ids[:prompt])
        if not alike or _prompt(other) != prompt:
            raise UnusableRow("the template does not write the prompt alike before each answer")
    return prompt


def _prompt(sample: Sample) -> int:
    """How many tokens stand before the first answer."""
    return int(np.argmax(sample.labels != IGNORE_INDEX))


def _tokens(samples: Sequence[Sample]) -> int:
    return sum(len(sample) for sample in samples)


def _first_answer(conversation: Conversation) -> int:
    return next(i for i, message in enumerate(conversation["messages"]) if _is_trained(message))


def _is_trained(message: Message) -> bool:
    return message["role"] == "assistant" and message.get("loss", True)


class _Turns:
    """A dialogue that is too long, or a group of them, without its first turns.

    Attributes:
        most: turns that may go.

    Args:
        shorter: of each dialogue of the group.
        template: renders the turns that are left.
        encode: tokenises it.
        max_length: tokens of the group.
    """

    def __init__(
        self, shorter: Sequence[Shorter], template: Template, encode: Encoder, max_length: int
    ) -> None:
        self._shorter = shorter
        self._template = template
        self._encode = encode
        self._max_length = max_length
        self._samples: dict[int, list[Sample]] = {}
        self.most = min(map(len, shorter))

    def without(self, cut: int) -> list[Sample]:
        """Return the samples of the dialogue without `cut` of its turns, from 1 on."""
        if cut not in self._samples:
            spans = [self._template.spans(dialogue[cut - 1]) for dialogue in self._shorter]
            self._samples[cut] = self._encode(spans)
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
        return _tokens(self.without(cut)) <= self._max_length

    def _seems_to_fit(self, cut: int) -> bool:
        texts = [self._template.text(dialogue[cut - 1]) for dialogue in self._shorter]
        return _tokens(self._encode([[Span(text, True)] for text in texts])) <= self._max_length


class Shorter(Sequence[Conversation]):
    """The dialogue without its first turn, without its first two, … down to the last.

    A turn begins with a user message. System messages before the first turn stay. A dialogue
    without a trained answer is not among them.

    Args:
        conversation: has messages.
        up_to: the message whose turn stays, and all after it; None: the last trained answer.
    """

    def __init__(self, conversation: Conversation, *, up_to: int | None = None) -> None:
        self._conversation = conversation
        self._messages = messages = conversation["messages"]
        turns = [i for i, message in enumerate(messages) if message["role"] == "user"]
        self._head = [m for m in messages[: turns[0] if turns else 0] if m["role"] == "system"]
        if up_to is None:
            up_to = max((i for i, m in enumerate(messages) if _is_trained(m)), default=0)
        self._starts = [start for start in turns[1:] if start < up_to]

    def __len__(self) -> int:
        return len(self._starts)

    def __getitem__(self, index: Any) -> Any:
        kept = [*self._head, *self._messages[self._starts[index] :]]
        return {**self._conversation, "messages": kept}


def _cut_tokens(sample: Sample, max_length: int, cut: Counter[str]) -> Sample | None:
    prompt = _prompt(sample)
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
