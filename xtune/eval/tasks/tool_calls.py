"""Which tools does the model call, with which arguments, on the rows of a benchmark?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from xtune.data.sources import open_source
from xtune.data.sources.base import Source
from xtune.data.tool_calls import Call
from xtune.errors import DataError, TemplateError, UsageError
from xtune.eval.tasks.base import Form, Generation, Item, Prompt, Response, Score, Text, Texts
from xtune.eval.tasks.own_way import OwnWay
from xtune.eval.tool_formats import FORMATS, ToolCase, detect_format
from xtune.eval.tool_formats.nexusraven import read_tools
from xtune.eval.tool_match import judge
from xtune.registry import EVALUATIONS

if TYPE_CHECKING:
    from xtune.eval.subject import Subject

__all__ = ["ToolCalls"]


@EVALUATIONS.register_module()
class ToolCalls(OwnWay):
    """Asks each request with its row's tools; the calls of the answer are compared, never executed.

    'tool': exactly the expected tools are called; 'arguments': and with the expected arguments;
    'no_needless_calls': none is called where none is needed; 'readable': no call begins in vain.

        format      fields of a row
        bfcl        id, question, function, ground_truth (or `answers`)
        nexusraven  Input, Output, Context: Python functions (or `tools`)
        toolbench   conversations of {from, value} with Action and Action Input
        openai      messages, tools, kind: rows as one trains on

    A chat template that has a place for tools tells them; else the system prompt does, and asks
    for JSON calls.

    Args:
        data_path: a file, or whatever else a data set's `data_path` may name; of a source with
            splits the held-out one.
        format: of the rows; None: told by the first row's fields.
        answers: bfcl: a file of rows with the same `id` and their `ground_truth`.
        tools: nexusraven: a file of functions for rows that have none of their own.
        batch_size: requests answered at once.
        max_new_tokens: of an answer.

    Raises:
        DataError: the data cannot be read, or no row can be used.
        UsageError: nothing has the name of the data; the format cannot be told, or it has no use
            for `answers` or `tools`.
    """

    name: ClassVar[str] = "tool_calls"
    scoring: ClassVar[str] = "exact_match"
    headline: ClassVar[str] = "right"

    def __init__(
        self,
        *,
        data_path: str,
        format: Literal["bfcl", "nexusraven", "toolbench", "openai"] | None = None,
        answers: str | None = None,
        tools: str | None = None,
        batch_size: int = 8,
        max_new_tokens: int = 256,
    ) -> None:
        source, truths, declared = (
            None if path is None else _opened(path, split)
            for path, split in ((data_path, "held_out"), (answers, "held_out"), (tools, "train"))
        )
        assert source is not None
        rows = list(source.rows())
        if not rows:
            raise DataError(f"{data_path} has no rows")
        self.format = format or detect_format(rows[0][1])
        self.batch_size = batch_size
        self._max_new_tokens = max_new_tokens
        for option, given, of in (("answers", answers, "bfcl"), ("tools", tools, "nexusraven")):
            if given is not None and self.format != of:
                raise UsageError(
                    f"tool_calls.{option} is for the format {of}, and the rows are {self.format}"
                )
        added = {} if truths is None else _truths(truths)
        functions = None if declared is None else read_tools([row for _, row in declared.rows()])
        self._items: list[Item] = []
        self.unusable: list[str] = []
        for number, (where, row) in enumerate(rows):
            whole = {**row, **added.get(str(row.get("id")), {})}
            if functions is not None:
                whole["Context"] = functions
            try:
                self._items.append(_item(number, where, FORMATS[self.format].read(whole)))
            except DataError as error:
                self.unusable.append(f"{where}: {error}")
        if not self._items:
            raise DataError(
                f"no row of {data_path} can be used as {self.format} (it needs: "
                f"{FORMATS[self.format].fields}); the first: {self.unusable[0]}"
            )

    def items(self) -> Sequence[Item]:
        """Return the requests of the rows that can be used; `unusable` tells of the others."""
        return self._items

    def ask(self, item: Item, form: Form) -> Generation:
        """Return an item's dialogue and its tools.

        Args:
            item: one of `items()`.
            form: the chat form.
        """
        case: ToolCase = item.fields["case"]
        prompt = Prompt(messages=tuple(case.messages), tools=tuple(case.tools))
        return Generation(prompt, max_new_tokens=self._max_new_tokens)

    def identity(self, item: Item) -> str:  # noqa: D102
        case: ToolCase = item.fields["case"]
        return json.dumps([case.messages, case.tools, case.first_only])

    def settings(self) -> dict[str, Any]:
        """Return what decides the number."""
        return {
            "format": self.format,
            "max_new_tokens": self._max_new_tokens,
            "unusable": self.unusable,
        }

    def respond(self, subject: Subject, items: Sequence[Item]) -> list[Texts]:
        """Ask a few requests, the likeliest answer each; the response is what was read, as JSON.

        Args:
            subject: the model; a request that does not fit it is not asked.
            items: that are asked at once.
        """
        from xtune.eval.tool_answer import ToolTalk
        from xtune.generation.generate import answer_prompts

        talk = ToolTalk(subject.tokenizer)
        cases: list[ToolCase] = [item.fields["case"] for item in items]
        prompts: dict[int, list[int]] = {}
        told: dict[int, dict[str, Any]] = {}
        for at, case in enumerate(cases):
            try:
                prompt = talk.prompt(case)
            except TemplateError as error:
                told[at] = {"unusable": str(error)}
                continue
            if subject.context is not None and len(prompt) >= subject.context:
                told[at] = {
                    "unusable": f"the prompt has {len(prompt)} tokens, the model's context "
                    f"{subject.context}"
                }
                continue
            prompts[at] = prompt
        answers = answer_prompts(
            subject.llm,
            subject.tokenizer,
            list(prompts.values()),
            stop_words=subject.stop_words,
            batch_size=self.batch_size,
            max_new_tokens=self._max_new_tokens,
            together=subject.together,
        )
        ended = {}
        for at, answer in zip(prompts, answers, strict=True):
            read = talk.read(cases[at], answer.text, answer.written)
            calls = [_plain(call) for call in read.calls]
            told[at] = {"text": answer.text, "calls": calls, "malformed": read.malformed}
            told[at] |= {"notice": talk.notice} if talk.notice else {}
            ended[at] = answer
        return [
            Texts(
                (
                    Text(
                        json.dumps(told[at]),
                        ended[at].ended_by if at in ended else "stop",
                        ended[at].tokens if at in ended else 0,
                    ),
                )
            )
            for at in range(len(items))
        ]

    def score(self, item: Item, response: Response) -> Score:
        """Compare the calls with those that are accepted; see the class.

        Args:
            item: one of `items()`.
            response: what `respond` returned.
        """
        assert isinstance(response, Texts)
        case: ToolCase = item.fields["case"]
        told = json.loads(response.samples[0].text)
        notes = {key: told[key] for key in ("unusable", "malformed", "notice") if told.get(key)}
        if "unusable" in told:
            return Score({}, got="", expected=case.expected, unanswered=True, notes=notes)
        calls = [Call(call["name"], call["arguments"]) for call in told["calls"]]
        readable = float(not told["malformed"])
        metrics = {"right": float(not calls and not told["malformed"])}
        if case.accepted:
            verdict = judge(case, calls)
            metrics = {"right": float(verdict.arguments), "tool": float(verdict.tool)}
            metrics["arguments"] = float(verdict.arguments)
        else:
            metrics["no_needless_calls"] = metrics["right"]
        metrics["readable"] = readable
        return Score(metrics, got=told["text"], expected=case.expected, notes=notes)


def _item(number: int, where: str, case: ToolCase) -> Item:
    return Item(
        id=str(number),
        question=case.messages[-1]["content"],
        gold=case.expected,
        group=case.kind,
        where=where,
        fields={"case": case},
    )


def _plain(value: Any) -> Any:
    """A call, and whatever calls stand in its arguments, as JSON values."""
    if isinstance(value, Call):
        return {"name": value.name, "arguments": _plain(value.arguments)}
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list | tuple) else value


def _opened(path: str, split: str) -> Source:
    try:
        return open_source(path, split=split)
    except DataError as error:  # nothing of it is read yet: it is the name
        raise UsageError(str(error)) from error


def _truths(source: Source) -> Mapping[str, dict[str, Any]]:
    """The ground truth of each id."""
    found = {}
    for where, row in source.rows():
        if "id" not in row or "ground_truth" not in row:
            raise UsageError(f"tool_calls.answers {where}: a row needs 'id' and 'ground_truth'")
        found[str(row["id"])] = {"ground_truth": row["ground_truth"]}
    return found
