"""What a model is asked, as token ids: between the tasks' prompts and the passes of a model."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["GenerationRequest", "LikelihoodRequest"]


@dataclass(frozen=True, slots=True)
class LikelihoodRequest:
    """How likely is this continuation after this context?

    Attributes:
        context: token ids, at least one; cut at the left already so that all fits the model.
        continuation: token ids, at least one.
        cut: ids that the context has lost.
    """

    context: tuple[int, ...]
    continuation: tuple[int, ...]
    cut: int = 0


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
