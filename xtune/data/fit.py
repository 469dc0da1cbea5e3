"""Make a dialogue that is too long fit: the oldest turns go, then the prompt's head.

    too long                       what goes                               counted as
    a dialogue                     its oldest turns; system messages stay  'oldest turns cut'
    one exchange, answer fits      the beginning of the prompt             'prompt cut'
    one exchange, prompt fits      the end of the answer                   'answer cut'
    one exchange, neither fits     the row                                 dropped
    plain text, or tokens          nothing: it becomes several samples     'text split'

Turns are counted, not dialogues, where turns are cut.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np

from xtune.data.map_fns.base import UnusableRow
from xtune.data.templates.base import Template, single_answers
from xtune.data.tokenize import Encoder
from xtune.structures import IGNORE_INDEX, Conversation, Sample

__all__ = ["fit", "shorter"]


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
    for part, sample in zip(parts, samples, strict=True):
        if len(sample) > max_length:
            for remainder in shorter(part):
                sample = encode([template.spans(remainder)])[0]
                cut["oldest turns cut"] += 1
                if len(sample) <= max_length:
                    break
        if len(sample) <= max_length:
            fitting.append(sample)
        elif exchange := _cut_tokens(sample, max_length, cut):
            fitting.append(exchange)
    if not fitting:
        raise UnusableRow("prompt and answer are each longer than max_length")
    return fitting


def shorter(conversation: Conversation) -> Iterator[Conversation]:
    """Yield the dialogue without its first turn, without its first two, … down to the last.

    A turn begins with a user message. System messages before the first turn stay. A dialogue
    without a trained answer is not yielded.
    """
    messages = conversation["messages"]
    turns = [i for i, message in enumerate(messages) if message["role"] == "user"]
    head = [m for m in messages[: turns[0] if turns else 0] if m["role"] == "system"]
    for start in turns[1:]:
        kept = messages[start:]
        if any(m["role"] == "assistant" and m.get("loss", True) for m in kept):
            yield {**conversation, "messages": [*head, *kept]}


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
