"""Make a model's calls: those a human or a policy approves, and none in vain again and again."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Literal, NamedTuple

from xtune.agents.base import Step, Tools
from xtune.data.tool_calls import Call

__all__ = ["Approval", "Approve", "Caller", "approve_all", "approve_none"]


class Approval(NamedTuple):
    """What is said to a call before it is made.

    Attributes:
        verdict: 'allow', or 'refuse'.
        call: the one to make, if it is another; None for the one that was asked for.
        reason: of a refusal; the model reads it.
    """

    verdict: Literal["allow", "refuse"] = "allow"
    call: Call | None = None
    reason: str = ""


Approve = Callable[[Call], Approval]


def approve_all(call: Call) -> Approval:
    """Allow every call."""
    return Approval()


def approve_none(call: Call) -> Approval:
    """Refuse every call."""
    return Approval("refuse", reason="no action is allowed in this session")


class Caller:
    """The calls of one question.

    A call that was made before with the same arguments and went well is not made again: its result
    will not change what the model does with it. One that failed is made once more.

    Args:
        tools: the tool box.
        approve: asked before each call.

    Attributes:
        stuck: whether a call was asked for a third time.
    """

    def __init__(self, tools: Tools, approve: Approve = approve_all) -> None:
        self.stuck = False
        self._tools = tools
        self._approve = approve
        self._asked: dict[str, int] = {}
        self._results: dict[str, str] = {}

    def __call__(self, call: Call, *, number: int, thought: str = "") -> Step:
        """Make a call, or say why not; whatever happens is a step.

        Args:
            call: what the model asks for.
            number: of the step.
            thought: what the model said before.
        """
        return replace(self.prepare(call)(), number=number, thought=thought)

    def prepare(self, call: Call) -> Callable[[], Step]:
        """Decide, and ask if need be; the function returned then makes the call, in any thread.

        Args:
            call: what the model asks for.
        """
        key = _key(call)
        self._asked[key] = self._asked.get(key, 0) + 1
        if self._asked[key] >= 3:
            self.stuck = True
        if key in self._results or self.stuck:
            known = f" Its result was: {self._results[key]}" if key in self._results else ""
            text = f"You have made this very call before.{known}\nUse that, or do something else."
            return partial(_not_made, "repeat", call, text)
        approval = self._approve(call)
        if approval.verdict == "refuse":
            reason = f": {approval.reason}" if approval.reason else ""
            text = f"The user refused this call{reason}. Do not ask for it again."
            return partial(_not_made, "refused", call, text)
        return partial(self._make, call, approval.call or call, key)

    def _make(self, asked: Call, call: Call, key: str) -> Step:
        result = self._tools.call(call.name, call.arguments)
        if result.ok:
            self._results[key] = result.content
        changed = ""
        if call[:2] != asked[:2]:
            written = json.dumps(call.arguments, ensure_ascii=False)
            changed = f"(The user changed this call to {call.name} {written}.)\n"
        return Step(
            number=0,
            kind="call",
            tool=call.name,
            arguments=call.arguments,
            result=changed + result.content,
            ok=result.ok,
            seconds=result.seconds,
            files=tuple(map(str, result.files)),
        )


def _not_made(kind: Literal["repeat", "refused"], call: Call, why: str) -> Step:
    return Step(number=0, kind=kind, tool=call.name, arguments=call.arguments, result=why, ok=False)


def _key(call: Call) -> str:
    return json.dumps([call.name, _plain(call.arguments)], sort_keys=True)


def _plain(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
    """Without what a model varies and no tool minds: white space around texts."""
    return {k: v.strip() if isinstance(v, str) else v for k, v in arguments.items()}
