"""1 for an answer of a form that a regular expression tells."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from xtune.errors import ConfigError
from xtune.generation.sampled_answer import SampledAnswer
from xtune.registry import REWARDS

__all__ = ["FormatReward"]


@REWARDS.register_module("format")
@dataclass(frozen=True, slots=True, kw_only=True)
class FormatReward:
    r"""1 where the whole answer matches, blanks around it aside; else 0.

        dict(type='format', pattern=r'<think>.+</think>.*\\boxed\{.+\}.*')

    Attributes:
        pattern: in which '.' stands for a line's end too.
    """

    pattern: str
    _compiled: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        try:
            compiled = re.compile(self.pattern, re.DOTALL)
        except re.error as error:
            raise ConfigError(
                f"reward 'format': {self.pattern!r} is no regular expression: {error}"
            ) from error
        object.__setattr__(self, "_compiled", compiled)

    def __call__(self, answers: Sequence[SampledAnswer]) -> list[float]:
        """Return 1 or 0 for each answer."""
        return [float(self._compiled.fullmatch(one.text.strip()) is not None) for one in answers]
