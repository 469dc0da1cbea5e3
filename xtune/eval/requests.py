"""What a model is asked, as token ids: between the tasks' prompts and the passes of a model."""

from __future__ import annotations

from dataclasses import dataclass

from xtune.generation.requests import GenerationRequest

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
