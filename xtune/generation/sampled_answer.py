"""`SampledAnswer`: what a reward function is given, and `RewardFunction`, what it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from xtune.data.prompts import PromptRow

__all__ = ["RewardFunction", "SampledAnswer"]


@dataclass(frozen=True, slots=True)
class SampledAnswer:
    """An answer that the model has written.

    Attributes:
        prompt: what was asked, what the data expect, and the raw row.
        tokens: of the answer, the end token included if it wrote one.
        text: of it, without special tokens.
        written: with them.
        ended: it wrote an end, and was not cut.
        log_probs: of its tokens, as the sampler had them; () where nobody asked.
    """

    prompt: PromptRow
    tokens: tuple[int, ...]
    text: str
    written: str
    ended: bool
    log_probs: tuple[float, ...] = ()

    @property
    def expected(self) -> str:
        """The text of the answer in the data; '' where they have none."""
        expected = self.prompt.expected
        return "" if expected is None else expected.get("content") or ""


# A number for each answer, the more the better; None: this function does not judge that one.
RewardFunction: TypeAlias = Callable[[Sequence[SampledAnswer]], Sequence[float | None]]
