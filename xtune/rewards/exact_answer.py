"""1 for an answer that is the data's, and 0 for another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xtune.data.prompts import PromptRow
from xtune.generation.sampled_answer import SampledAnswer
from xtune.registry import REWARDS
from xtune.rewards.asked import require_expected

__all__ = ["ExactAnswer"]


@REWARDS.register_module("exact_answer")
@dataclass(frozen=True, slots=True, kw_only=True)
class ExactAnswer:
    """1 where an answer's text is that of the data, blanks around it aside; else 0.

    Attributes:
        ignore_case: 'Paris' is 'paris'.
    """

    ignore_case: bool = False

    def require(self, prompts: Sequence[PromptRow]) -> None:
        """Refuse prompts whose rows have no answer to compare with.

        Raises:
            DataError: one has none.
        """
        require_expected("exact_answer", prompts)

    def __call__(self, answers: Sequence[SampledAnswer]) -> list[float]:
        """Return 1 or 0 for each answer."""
        return [float(self._plain(one.text) == self._plain(one.expected)) for one in answers]

    def _plain(self, text: str) -> str:
        return text.strip().casefold() if self.ignore_case else text.strip()
