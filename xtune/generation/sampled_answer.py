"""`SampledAnswer`: what a reward function is given, and `RewardFunction`, what it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from xtune.data.prompts import PromptRow
from xtune.data.tool_calls import Call, CallForm, MalformedCall, call_in

__all__ = ["RewardFunction", "SampledAnswer", "calls_in"]


@dataclass(frozen=True, slots=True)
class SampledAnswer:
    """An answer that the model has written.

    Attributes:
        prompt: what was asked, what the data expect, and the raw row.
        tokens: of the answer, the end token included if it wrote one.
        text: of it, without special tokens.
        written: with them.
        ended: it wrote an end, and was not cut.
        calls: of tools, in the form of its template, or as the JSON that the whole text is.
        log_probs: of its tokens, as the sampler had them; () where nobody asked.
    """

    prompt: PromptRow
    tokens: tuple[int, ...]
    text: str
    written: str
    ended: bool
    calls: tuple[Call, ...] = ()
    log_probs: tuple[float, ...] = ()

    @property
    def expected(self) -> str:
        """The text of the answer in the data; '' where they have none."""
        expected = self.prompt.expected
        return "" if expected is None else expected.get("content") or ""


# A number for each answer, the more the better; None: this function does not judge that one.
RewardFunction: TypeAlias = Callable[[Sequence[SampledAnswer]], Sequence[float | None]]


def calls_in(text: str, written: str, form: CallForm | None) -> tuple[Call, ...]:
    """Return the calls of tools in an answer; none where one begins and cannot be read.

    Args:
        text: of the answer, without special tokens.
        written: with them.
        form: of calls by the chat template; None where no tools were given, or it has none.
    """
    if (call := call_in(text)) is not None:
        return (Call(call["name"], call["arguments"]),)
    try:
        return () if form is None else tuple(form.read(written)[1])
    except MalformedCall:
        return ()
