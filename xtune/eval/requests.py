"""`LikelihoodRequest`: how likely one text is after another, as token ids.

What asks for an answer in words is `xtune.generation.requests.GenerationRequest`.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LikelihoodRequest"]


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
