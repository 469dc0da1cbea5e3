"""The small interface that all agents share.

AgentModel  messages + tools -> assistant message, streamed       local.py, remote.py
Tools       schemas, and calls that never raise                   xtune/tools/toolbox.py
Step        one thing that was done, one JSON object
Agent       a dialogue -> Outcome, telling a Watcher as it goes   react.py, rewoo.py, autogpt.py
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from xtune.generation.reply import Reply
from xtune.structures import Message
from xtune.tools.base import ToolResult
from xtune.tools.spec import ToolSpec

__all__ = [
    "Agent",
    "AgentModel",
    "EndedBy",
    "Outcome",
    "Step",
    "Tools",
    "Watcher",
    "ignore",
]

StepKind = Literal["call", "repeat", "refused", "plan", "repair", "answer", "end"]
EndedBy = Literal["answer", "max_turns", "malformed", "repeat", "interrupt"]


class AgentModel(Protocol):
    """A chat model as agents see it: our own in this process, or a server's."""

    name: str

    @property
    def native(self) -> bool:
        """Whether it takes tools and makes calls in a form of its own."""

    @property
    def context(self) -> int | None:
        """How many tokens it can take in all; None where that is unknown."""

    def count_tokens(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]]) -> int:
        """How many tokens the prompt has; 0 where that is unknown.

        Args:
            messages: the dialogue, in OpenAI's form.
            tools: schemas of the tools that it may call.
        """

    def takes_role(self, role: str) -> bool:
        """Whether a message of this role is shown to it after a user's and an answer."""

    def answer(
        self,
        messages: Sequence[Message],
        tools: Sequence[dict[str, Any]],
        on_text: Callable[[str], None],
        *,
        stop: Sequence[str] = (),
    ) -> Reply:
        """Answer a dialogue.

        Args:
            messages: ending with what is to be answered.
            tools: in OpenAI's form; none unless `native`.
            on_text: given the text piece by piece, as it is written.
            stop: strings that end the answer, besides the model's own end.
        """


class Tools(Protocol):
    """What an agent needs of a tool box; see `ToolBox`."""

    specs: tuple[ToolSpec, ...]

    def schemas(self) -> list[dict[str, Any]]:
        """Return the tools in OpenAI's form."""

    def call(self, name: str, arguments: Mapping[str, Any] | str) -> ToolResult:
        """Call a tool; whatever goes wrong is a result.

        Args:
            name: of the tool.
            arguments: by name, or the JSON text that the model wrote.
        """

    def stop(self) -> None:
        """End what runs."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing that an agent did.

    Attributes:
        number: from 1, within one question.
        kind: 'call'; 'repeat', a call made before and not run again; 'refused', by a human or a
            policy; 'plan'; 'repair', something malformed that the model was told of; 'answer', the
            last step of a question that was answered; 'end', of one that was not.
        thought: what the model said before.
        tool: of a call, or ''.
        arguments: of a call, as they were run.
        result: what the model reads of it; the answer; why it ended.
        ok: whether it went well.
        seconds: of the call, or of writing.
        files: paths of what the tool made.
    """

    number: int
    kind: StepKind
    thought: str = ""
    tool: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    result: str = ""
    ok: bool = True
    seconds: float = 0.0
    files: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return it for one line of JSON, without empty fields."""
        made: dict[str, Any] = {"step": self.number, "kind": self.kind}
        for name in ("thought", "tool", "arguments", "result", "files"):
            if value := getattr(self, name):
                made[name] = value
        if self.kind == "call" and "arguments" not in made:
            made["arguments"] = {}
        return made | {"ok": self.ok, "seconds": round(self.seconds, 3)}


@dataclass(frozen=True)
class Outcome:
    """What came of a question.

    Attributes:
        answer: the final answer; '' if there is none.
        ended_by: 'answer', or why there is none.
        steps: in order.
        messages: what the dialogue goes on with after the question: calls, results and answer;
            none unless there is an answer.
    """

    answer: str
    ended_by: EndedBy
    steps: tuple[Step, ...]
    messages: tuple[Message, ...] = ()


class Watcher(Protocol):
    """Is told what an agent does, while it does it."""

    def text(self, piece: str) -> None:
        """Take a piece of what the model writes."""

    def step(self, step: Step) -> None:
        """Take a step that is done."""


class _Ignore:
    def text(self, piece: str) -> None:
        pass

    def step(self, step: Step) -> None:
        pass


ignore: Watcher = _Ignore()


class Agent(Protocol):
    """A way to use tools."""

    @property
    def instructions(self) -> str:
        """What is added to the system prompt; '' for nothing."""

    @property
    def tools(self) -> list[dict[str, Any]]:
        """The tools that the model's template is given, in OpenAI's form."""

    def run(self, messages: Sequence[Message], watcher: Watcher = ignore) -> Outcome:
        """Answer the last message of a dialogue.

        Ctrl-C ends what the model writes and what a tool does; the outcome then says so.

        Args:
            messages: the dialogue; the last message is the question.
            watcher: is told each step as it comes.
        """
