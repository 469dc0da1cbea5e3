"""Does the model use the tools: the real agent, the real tools, over requests it never saw?"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, cast

from xtune.agents.base import Outcome, Step, ignore
from xtune.agents.forms import Form, NativeForm
from xtune.agents.react import ReAct
from xtune.agents.react_text import ReActForm
from xtune.data.map_fns import build_map_fn
from xtune.data.sources import open_source
from xtune.errors import DataError
from xtune.eval.agent_turns import TogetherModel
from xtune.eval.answer_match import same_arguments, states
from xtune.eval.result import EvaluationResult, EvaluationRow
from xtune.registry import EVALUATIONS, TOOLS
from xtune.structures import Conversation, Message
from xtune.tools.toolbox import ToolBox

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["AgentEvaluation"]

# Arguments that may be written in more than one way: here the result decides
_BY_RESULT = ("calculator", "search")


@EVALUATIONS.register_module()
class AgentEvaluation:
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
        self._map_fn = build_map_fn("openai")
        self._tools = {name: dict(options) for name, options in tools.items()}
        if "timer" in self._tools:
            self._tools["timer"]["ring"] = False
        self._batch_size = batch_size
        self._max_turns = max_turns
        self._max_new_tokens = max_new_tokens

    def run(
        self,
        llm: Any,
        tokenizer: PreTrainedTokenizerBase,
        *,
        stop_words: Sequence[str] = (),
        max_rows: int | None = None,
        on_progress: Callable[[int, int], None] = lambda done, total: None,
    ) -> EvaluationResult:
        """Ask the model everything, the likeliest answer each; see `ToolCallEvaluation.run`."""
        rows = [(row, self._messages(where, row)) for where, row in self.source.rows()]
        if not rows:
            raise DataError("nothing to evaluate: there are no rows")
        if max_rows is not None and max_rows < len(rows):
            rows = [rows[at * len(rows) // max_rows] for at in range(max_rows)]
        result = EvaluationResult()
        with ToolBox(list(self._tools), self._tools) as box:
            for start in range(0, len(rows), self._batch_size):
                batch = rows[start : start + self._batch_size]
                prompts = [messages[: _first_trained(messages)] for _, messages in batch]
                model = TogetherModel(
                    llm,
                    tokenizer,
                    count=len(batch),
                    stop_words=stop_words,
                    max_new_tokens=self._max_new_tokens,
                )
                outcomes = self._outcomes(model, box, prompts)
                for (row, messages), prompt, outcome in zip(batch, prompts, outcomes, strict=True):
                    result.rows.append(_marked(row, messages[len(prompt) :], prompt, outcome))
                on_progress(len(result.rows), len(rows))
        return result

    def _outcomes(
        self, model: TogetherModel, box: ToolBox, prompts: list[list[Message]]
    ) -> list[Outcome]:
        outcomes: dict[int, Outcome | BaseException] = {}

        def pursue(at: int) -> None:
            form: Form = (
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
        return [cast(Outcome, outcomes[at]) for at in range(len(prompts))]

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


def _marked(
    row: Mapping[str, Any], wanted: list[Message], prompt: list[Message], outcome: Outcome
) -> EvaluationRow:
    expected = _calls_of(wanted)
    made = [step for step in outcome.steps if step.kind in ("call", "repeat", "refused")]
    checks = {}
    if expected:
        tool = [step.tool for step in made] == [call[0] for call in expected]
        checks = {
            "tool": tool,
            "arguments": tool
            and all(
                (call[0] in _BY_RESULT and step.result == call[2])
                or same_arguments(step.arguments, call[1])
                for step, call in zip(made, expected, strict=True)
            ),
            "answer": bool(made) and states(outcome.answer, row.get("expect", ())),
        }
    return EvaluationRow(
        request=next(m["content"] for m in reversed(prompt) if m["role"] == "user"),
        expected=_written([*((n, a, r) for n, a, r in expected)], wanted[-1]["content"]),
        got=_written([(s.tool, s.arguments, s.result) for s in made], _end_of(outcome)),
        kind=str(row.get("kind", "all")),
        needs_call=bool(expected),
        right=all(checks.values()) if checks else not made,
        checks=checks,
        needless=max(0, len(made) - len(expected)),
    )


def _calls_of(messages: Sequence[Message]) -> list[tuple[str, Mapping[str, Any], str]]:
    results = iter([m["content"] for m in messages if m["role"] == "tool"])
    return [
        (call["function"]["name"], call["function"]["arguments"], next(results, ""))
        for message in messages
        for call in message.get("tool_calls", ())
    ]


def _end_of(outcome: Outcome) -> str:
    last: Step | None = outcome.steps[-1] if outcome.steps else None
    return outcome.answer or (f"({last.result})" if last else "")


def _written(calls: Sequence[tuple[str, Mapping[str, Any], str]], answer: str) -> str:
    lines = [f"{n} {json.dumps(a, ensure_ascii=False)} -> {r}" for n, a, r in calls]
    return "\n".join([*lines, answer])
