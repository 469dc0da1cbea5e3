"""How an answer is sampled."""

from __future__ import annotations

from dataclasses import dataclass

from xtune.errors import UsageError

__all__ = ["GenerationSettings"]


@dataclass(frozen=True, slots=True)
class GenerationSettings:
    """How an answer is sampled; the defaults give the most likely answer.

    Attributes:
        max_new_tokens: tokens of an answer at most.
        temperature: 0 takes the likeliest token each time; 1 samples from the model as it is.
        top_p: sample among the likeliest tokens that together have this probability; 1 is all.
        top_k: sample among this many likeliest tokens; 0 is all.
        repetition_penalty: above 1 makes tokens that were already said less likely.
        presence_penalty: taken from the logit of a token that the answer has; -2 to 2, 0 is off.
        frequency_penalty: taken from it as often as the answer has the token; likewise.
        seed: the same seed gives the same answer; None draws a new one each time.

    Raises:
        UsageError: a value is out of range.
    """

    max_new_tokens: int = 512
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        ranges = (
            ("max_new_tokens", self.max_new_tokens >= 1, "1 or more"),
            ("temperature", self.temperature >= 0, "0 (always the likeliest token) or more"),
            ("top_p", 0 < self.top_p <= 1, "above 0, at most 1 (off)"),
            ("top_k", self.top_k >= 0, "0 (off) or more"),
            ("repetition_penalty", self.repetition_penalty > 0, "above 0; 1 is off"),
            ("presence_penalty", abs(self.presence_penalty) <= 2, "-2 to 2; 0 is off"),
            ("frequency_penalty", abs(self.frequency_penalty) <= 2, "-2 to 2; 0 is off"),
            ("seed", self.seed is None or 0 <= self.seed < 2**63, "0 or more, below 2**63"),
        )
        for name, fits, allowed in ranges:
            if not fits:
                raise UsageError(f"{name} is {getattr(self, name)}; allowed: {allowed}")
