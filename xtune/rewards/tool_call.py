"""1 for an answer whose call is the data's, or that makes none where none is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xtune.data.prompts import PromptRow
from xtune.data.tool_calls import call_in
from xtune.eval.call_match import is_attempt, same_call
from xtune.generation.sampled_answer import SampledAnswer
from xtune.registry import REWARDS
from xtune.rewards.asked import require_expected

__all__ = ["ToolCallReward"]


@REWARDS.register_module("tool_call")
@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallReward:
    """Compares calls that are written as JSON, `{"name": …, "arguments": {…}}`; none is executed.

        the data have a call      1 for exactly that call; `partial` for one of the right tool
        they have none            1 for an answer without a call

    Attributes:
        partial: what a call of the right tool with other arguments gets, 0 to 1.
    """

    partial: float = 0.0

    def require(self, prompts: Sequence[PromptRow]) -> None:
        """Refuse prompts whose rows have no answer to compare with.

        Raises:
            DataError: one has none.
        """
        require_expected("tool_call", prompts)

    def __call__(self, answers: Sequence[SampledAnswer]) -> list[float]:
        """Return a number from 0 to 1 for each answer."""
        return [self._of(answer.text, answer.expected) for answer in answers]

    def _of(self, text: str, expected: str) -> float:
        wanted = call_in(expected)
        if wanted is None:
            return float(not is_attempt(text))
        if same_call(text, expected):
            return 1.0
        made = call_in(text)
        right_tool = made is not None and made.get("name") == wanted.get("name")
        return self.partial if right_tool else 0.0
