"""1 for an answer whose number is the right one: GSM8K and its kin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from xtune.data.prompts import PromptRow
from xtune.errors import DataError
from xtune.eval.extraction import boxed_in, last_number
from xtune.eval.metrics.exact_match import same_number
from xtune.generation.sampled_answer import SampledAnswer
from xtune.registry import REWARDS
from xtune.rewards.asked import require_column, require_expected

__all__ = ["NumberReward"]


@REWARDS.register_module("number")
@dataclass(frozen=True, slots=True, kw_only=True)
class NumberReward:
    r"""1 where the number of an answer equals that of the data, by value; else 0.

    An answer's number is what follows its last '####', or stands in its last `\boxed{…}`, or else
    the last number in it: '$1,250.00' is 1250.

    Attributes:
        column: of the raw rows, that has the number or a text with it; None: the data's answer.
    """

    column: str | None = None

    def require(self, prompts: Sequence[PromptRow]) -> None:
        """Refuse prompts whose rows have no number.

        Raises:
            DataError: one has none.
        """
        if self.column is None:
            require_expected("number", prompts)
        else:
            require_column("number", self.column, prompts)
        for prompt in prompts:
            if _number_in(self._wanted(prompt)) is None:
                raise DataError(
                    f"reward 'number': {prompt.where} has no number to compare with in "
                    f"{self._wanted(prompt)[:80]!r}: leave the row out, or name another column"
                )

    def __call__(self, answers: Sequence[SampledAnswer]) -> list[float]:
        """Return 1 or 0 for each answer."""
        return [self._of(answer) for answer in answers]

    def _of(self, answer: SampledAnswer) -> float:
        said, wanted = _number_in(answer.text), _number_in(self._wanted(answer.prompt))
        return float(said is not None and wanted is not None and same_number(said, wanted))

    def _wanted(self, prompt: PromptRow) -> str:
        if self.column is not None:
            return str(prompt.row[self.column])
        return (prompt.expected or {"content": ""}).get("content") or ""


def _number_in(text: str) -> str | None:
    if "####" in text:
        return last_number(text.rsplit("####", 1)[1].split("\n")[0])
    if (boxed := boxed_in(text)) is not None:
        return last_number(boxed)
    return last_number(text)
