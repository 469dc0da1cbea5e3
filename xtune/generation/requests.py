"""A prompt as token ids with how it is to go on, and what came of it: neither needs torch."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GenerationRequest", "Text"]


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """How does this prompt go on?

    Attributes:
        prompt: token ids, at least one; cut at the left already so that the answer fits the model.
        stop: strings that end the answer, besides the model's own ends.
        max_new_tokens: of the answer.
        temperature: 0: the likeliest token each time.
        top_p: sample among the likeliest tokens that together have this probability.
        seed: of the sampling: the answer depends on it and the prompt, not on what runs next to it.
        cut: ids that the prompt has lost.
    """

    prompt: tuple[int, ...]
    stop: tuple[str, ...] = ()
    max_new_tokens: int = 256
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    cut: int = 0


@dataclass(frozen=True, slots=True)
class Text:
    """One answer in words.

    Attributes:
        text: without the stop string or the end token.
        ended_by: 'stop' or 'length', the latter where it was cut.
        tokens: how many were made.
    """

    text: str
    ended_by: str
    tokens: int
