"""Does the model use the tools: the real agent, the real tools, over requests it never saw?

Form: chat. Shots: none. Scoring: exact_match of tools, arguments and what the answer states.

Source: rows with `expect`, as the demo's agent data has them; see `AgentEvaluation`.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

from xtune.data.map_fns import build_map_fn
from xtune.data.sources import open_source
from xtune.errors import DataError
from xtune.eval.answer_match import same_arguments, states
from xtune.eval.tasks.base import Form, Generation, Item, Prompt, Response, Score, Text, Texts
from xtune.eval.tasks.own_way import OwnWay
from xtune.registry import EVALUATIONS, TOOLS
from xtune.structures import Conversation, Message

if TYPE_CHECKING:
    from xtune.agents.base import Outcome
    from xtune.eval.agent_turns import TogetherModel
    from xtune.eval.subject import Subject
    from xtune.tools.toolbox import ToolBox

__all__ = ["AgentEvaluation"]

# Arguments that may be written in more than one way: here the result decides
_BY_RESULT = ("calculator", "search")
_CALLS = ("call", "repeat", "refused")


@EVALUATIONS.register_module()
class AgentEvaluation(OwnWay):
    """Lets a ReAct agent answer each held-out request, with tools that really run.

    For a request that needs tools: 'tool', the expected tools in the expected order; 'arguments',
    each call's too, as expected or, of calculator and search, with the expected result; 'answer',
    the final answer states what the row's `expect` lists. A row is right if all three are; one
    that needs no tool, if none is called. The dialogues run side by side, each turn one batch.

    Args:
        data_path: where the rows are; OpenAI's form, with `tools` and calls, `kind` and `expect`.
        tools: of the agent, by name, with the options of each.
        split: which of the source's splits.
        batch_size: requests at once.
        max_turns: of the model, for one request.
        max_new_tokens: of a turn.

    Raises:
        DataError: `data_path` names nothing.
    """

    name: ClassVar[str] = "agent"
    scoring: ClassVar[str] = "exact_match"
    headline: ClassVar[str] = "right"

    def __init__(
        self,
        *,
        data_path: str | Sequence[str] | Mapping[str, Any],
        tools: Mapping[Annotated[str, TOOLS], Mapping[str, Any]],
        split: str = "held_out",
        batch_size: int = 32,
        max_turns: int = 4,
        max_new_tokens: int = 96,
    ) -> None:
        self.source = open_source(data_path, split=split)
        self.batch_size = batch_size
        self._map_fn = build_map_fn("openai")
        self._tools = {name: dict(options) for name, options in tools.items()}
        if "timer" in self._tools:
            self._tools["timer"]["ring"] = False
        self._max_turns = max_turns
        self._max_new_tokens = max_new_tokens

    def items(self) -> Sequence[Item]:
        """Read the rows.

        Raises:
            DataError: there are none, or one has no answer to compare with.
        """
        items = []
        for number, (where, row) in enumerate(self.source.rows()):
            messages = self._messages(where, row)
            prompt = messages[: _first_trained(messages)]
            wanted = messages[len(prompt) :]
            items.append(
                Item(
                    id=str(number),
                    question=next(m["content"] for m in reversed(prompt) if m["role"] == "user"),
                    gold=wanted[-1]["content"],
                    group=str(row.get("kind", "all")),
                    where=where,
                    fields={"messages": prompt, "wanted": wanted, "expect": row.get("expect", ())},
                )
            )
        if not items:
            raise DataError("nothing to evaluate: there are no rows")
        return items

    def ask(self, item: Item, form: Form) -> Generation:
        """Return the first turn of an item's dialogue.

        Args:
            item: one of `items()`.
            form: the chat form.
        """
        return Generation(Prompt(messages=tuple(item.fields["messages"])))

    def identity(self, item: Item) -> str:  # noqa: D102
        return json.dumps(item.fields["messages"])

    def settings(self) -> dict[str, Any]:
        """Return what decides the number."""
        return {
            "tools": self._tools,
            "max_turns": self._max_turns,
            "max_new_tokens": self._max_new_tokens,
        }

    def respond(self, subject: Subject, items: Sequence[Item]) -> list[Texts]:
        """Let an agent pursue each item; the answer is what it did, as JSON.

        Args:
            subject: the model.
            items: that are pursued side by side.
        """
        from xtune.eval.agent_turns import TogetherModel
        from xtune.tools.toolbox import ToolBox

        with ToolBox(list(self._tools), self._tools) as box:
            model = TogetherModel(
                subject.llm,
                subject.tokenizer,
                count=len(items),
                stop_words=subject.stop_words,
                max_new_tokens=self._max_new_tokens,
                together=subject.together,
            )
            prompts = [list(item.fields["messages"]) for item in items]
            outcomes = self._outcomes(model, box, prompts)
        return [Texts((Text(_told(outcome), "stop", 0),)) for outcome in outcomes]

    def score(self, item: Item, response: Response) -> Score:
        """Compare what the agent did with what the row has it do; see the class.

        Args:
            item: one of `items()`.
            response: what `respond` returned.
        """
        assert isinstance(response, Texts)
        done = json.loads(response.samples[0].text)
        made = done["calls"]
        expected = _calls_of(item.fields["wanted"])
        needless = {"needless_calls": max(0, len(made) - len(expected))}
        shown: dict[str, Any] = {
            "got": _written([(c["tool"], c["arguments"], c["result"]) for c in made], done["end"]),
            "expected": _written(expected, item.gold),
        }
        if not expected:
            right = float(not made)
            return Score({"right": right, "no_needless_calls": right}, notes=needless, **shown)
        tool = [call["tool"] for call in made] == [call[0] for call in expected]
        checks = {
            "tool": tool,
            "arguments": tool
            and all(
                (call[0] in _BY_RESULT and step["result"] == call[2])
                or same_arguments(step["arguments"], call[1])
                for step, call in zip(made, expected, strict=True)
            ),
            "answer": bool(made) and states(done["answer"], item.fields["expect"]),
        }
        right = float(all(checks.values()))
        values = {name: float(value) for name, value in checks.items()}
        return Score({"right": right, "exact_calls": right, **values}, notes=needless, **shown)

    def overall(self, items: Sequence[Item], scores: Sequence[Score]) -> dict[str, float]:
        """Return how many calls were made beyond the expected ones.

        Args:
            items: the requests.
            scores: of each.
        """
        return {"needless_calls": float(sum(score.notes["needless_calls"] for score in scores))}

    def _outcomes(
        self, model: TogetherModel, box: ToolBox, prompts: list[list[Message]]
    ) -> list[Outcome]:
        from xtune.agents.base import ignore
        from xtune.agents.forms import Form as TurnForm
        from xtune.agents.forms import NativeForm
        from xtune.agents.react import ReAct
        from xtune.agents.react_text import ReActForm

        outcomes: dict[int, Outcome | BaseException] = {}

        def pursue(at: int) -> None:
            form: TurnForm = (
                NativeForm(box) if model.native else ReActForm(box, takes_role=model.takes_role)
            )
            asked = list(prompts[at])
            if form.instructions:
                asked = [{"role": "system", "content": form.instructions}, *asked]
            try:
                agent = ReAct(model, box, form, max_turns=self._max_turns)
                outcomes[at] = agent.run(asked, ignore)
            except BaseException as error:  # raised again in the caller's thread
                outcomes[at] = error
            finally:
                model.leave()

        threads = [threading.Thread(target=pursue, args=(at,)) for at in range(len(prompts))]
        for thread in threads:
            thread.start()
        model.serve()
        for thread in threads:
            thread.join()
        for outcome in outcomes.values():
            if isinstance(outcome, BaseException):
                raise outcome
        return [cast("Outcome", outcomes[at]) for at in range(len(prompts))]

    def _messages(self, where: str, row: dict[str, Any]) -> list[Message]:
        try:
            messages = list(cast(Conversation, self._map_fn(row))["messages"])
        except DataError as error:
            raise DataError(f"{where}: {error}") from error
        if messages[-1]["role"] != "assistant" or _first_trained(messages) == len(messages):
            raise DataError(f"{where}: the last message must be the assistant's answer")
        return messages


def _first_trained(messages: Sequence[Message]) -> int:
    answers = (
        at for at, m in enumerate(messages) if m["role"] == "assistant" and m.get("loss", True)
    )
    return next(answers, len(messages))


def _told(outcome: Outcome) -> str:
    """What an agent did, as JSON: its calls, its answer, how it ended."""
    last = outcome.steps[-1] if outcome.steps else None
    calls = [
        {"tool": step.tool, "arguments": step.arguments, "result": step.result}
        for step in outcome.steps
        if step.kind in _CALLS
    ]
    end = outcome.answer or (f"({last.result})" if last else "")
    return json.dumps({"calls": calls, "answer": outcome.answer, "end": end}, ensure_ascii=False)


def _calls_of(messages: Sequence[Message]) -> list[tuple[str, Mapping[str, Any], str]]:
    results = iter([m["content"] for m in messages if m["role"] == "tool"])
    return [
        (call["function"]["name"], call["function"]["arguments"], next(results, ""))
        for message in messages
        for call in message.get("tool_calls", ())
    ]


def _written(calls: Sequence[tuple[str, Mapping[str, Any], str]], answer: str) -> str:
    lines = [f"{n} {json.dumps(a, ensure_ascii=False)} -> {r}" for n, a, r in calls]
    return "\n".join([*lines, answer])
