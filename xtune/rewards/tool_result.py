"""1 for an answer whose call, really made, gives what the data's own call gives."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from xtune.data.prompts import PromptRow
from xtune.data.tool_calls import Call, call_in
from xtune.generation.sampled_answer import SampledAnswer
from xtune.registry import REWARDS, TOOLS
from xtune.rewards.asked import require_expected
from xtune.tools.toolbox import ToolBox

__all__ = ["ToolResultReward"]


@REWARDS.register_module("tool_result")
class ToolResultReward:
    """Calls the tools in processes of their own, with their time limits, as agents do.

        the data call a tool of `tools`     1 where the same tool gives the same result; `called`
                                            where it gives another one; else 0
        the data call another tool          None: nothing can be said
        they call none                      1 for an answer without a call, else 0

    So 'kilometres' and 'km' are equally good where the tool takes both.

    Args:
        tools: by name, each with its options; they are called with what the model writes, so name
            none that changes anything.
        called: what a call gets that works and gives another result, 0 to 1.
    """

    def __init__(
        self,
        *,
        tools: Mapping[Annotated[str, TOOLS], Mapping[str, Any]],
        called: float = 0.0,
    ) -> None:
        self._box = ToolBox(list(tools), tools)
        self._called = called
        self._names = {spec.name for spec in self._box.specs}
        self._known: dict[str, str] = {}  # what each expected call has given
        weakref.finalize(self, self._box.close)

    def require(self, prompts: Sequence[PromptRow]) -> None:
        """Refuse prompts whose rows have no answer to compare with.

        Raises:
            DataError: one has none.
        """
        require_expected("tool_result", prompts)

    def __call__(self, answers: Sequence[SampledAnswer]) -> list[float | None]:
        """Return a number from 0 to 1, or None, for each answer."""
        return [self._of(answer) for answer in answers]

    def _of(self, answer: SampledAnswer) -> float | None:
        wanted = _expected(answer)
        if wanted is None:
            return float(not answer.calls)
        if wanted.name not in self._names:
            return None
        if len(answer.calls) != 1 or answer.calls[0].name != wanted.name:
            return 0.0
        made = self._box.call(answer.calls[0].name, answer.calls[0].arguments)
        if not made.ok:
            return 0.0
        return 1.0 if made.content == self._result(wanted) else self._called

    def _result(self, wanted: Call) -> str:
        key = repr(wanted)
        if key not in self._known:
            self._known[key] = self._box.call(wanted.name, wanted.arguments).content
        return self._known[key]


def _expected(answer: SampledAnswer) -> Call | None:
    expected = answer.prompt.expected
    calls = [] if expected is None else expected.get("tool_calls") or []
    if calls:
        function = calls[0]["function"]
        return Call(function["name"], function["arguments"])
    call = call_in(answer.expected)
    return None if call is None else Call(call["name"], call["arguments"])
