"""Ask a model every request of a benchmark of tool calls, and judge its calls."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from xtune.data.sources import open_source
from xtune.errors import DataError, TemplateError, UsageError
from xtune.eval.result import EvaluationResult, EvaluationRow
from xtune.eval.tool_answer import ReadAnswer, ToolTalk
from xtune.eval.tool_formats import FORMATS, ToolCase, detect_format
from xtune.eval.tool_formats.nexusraven import read_tools
from xtune.eval.tool_match import judge
from xtune.generation.generate import answer_prompts, context_length
from xtune.generation.model import ChatModel

__all__ = ["ToolBenchmark", "ask", "load_benchmark"]


@dataclass(slots=True)
class ToolBenchmark:
    """A benchmark's requests.

    Attributes:
        format: that the rows have.
        cases: where each row stands, and what it is.
        unusable: where each other row stands, and why it cannot be used.
    """

    format: str
    cases: list[tuple[str, ToolCase]] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)


def load_benchmark(
    data: str,
    *,
    format: str | None = None,
    answers: str | None = None,
    tools: str | None = None,
    max_rows: int | None = None,
) -> ToolBenchmark:
    """Read the rows.

    Args:
        data: a file, or whatever else a config's `data_path` may name; of a source with splits
            the held-out one.
        format: one of FORMATS; told from the first row if None.
        answers: a file of rows with the same `id` and their `ground_truth` (bfcl).
        tools: a file of functions for rows that have none of their own (nexusraven).
        max_rows: this many instead of all usable ones, spread evenly over the data.

    Raises:
        DataError: the data cannot be read, or no row can be used.
        UsageError: the format cannot be told, or it has no use for `answers` or `tools`.
    """
    rows = list(open_source(data, split="held_out").rows())
    if not rows:
        raise DataError(f"{data} has no rows")
    name = format or detect_format(rows[0][1])
    for option, given, of in (("--answers", answers, "bfcl"), ("--tools", tools, "nexusraven")):
        if given is not None and name != of:
            raise UsageError(f"{option} is for the format {of}, and the rows are {name}")
    benchmark = ToolBenchmark(name)
    added = _truths(answers) if answers else {}
    functions = None if tools is None else _functions(tools)
    for where, row in rows:
        whole = {**row, **added.get(str(row.get("id")), {})}
        if functions is not None:
            whole["Context"] = functions
        try:
            benchmark.cases.append((where, FORMATS[name].read(whole)))
        except DataError as error:
            benchmark.unusable.append(f"{where}: {error}")
    if not benchmark.cases:
        raise DataError(
            f"no row of {data} can be used as {name} (it needs: {FORMATS[name].fields}); "
            f"the first: {benchmark.unusable[0]}"
        )
    if max_rows is not None and max_rows < len(benchmark.cases):
        count = len(benchmark.cases)
        benchmark.cases = [benchmark.cases[at * count // max_rows] for at in range(max_rows)]
    return benchmark


def ask(
    model: ChatModel,
    benchmark: ToolBenchmark,
    *,
    batch_size: int = 8,
    max_new_tokens: int = 256,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> EvaluationResult:
    """Ask everything, the likeliest answer each, and compare.

    Args:
        model: whom.
        benchmark: what; requests that do not fit the model join its unusable ones.
        batch_size: requests answered at once.
        max_new_tokens: of an answer.
        on_progress: called with the number of answers there are and will be.

    Returns:
        Rows with the checks 'readable' and, where a call is needed, 'tool' and 'arguments'.

    Raises:
        DataError: no request fits the model.
    """
    talk = ToolTalk(model.tokenizer)
    context = context_length(model.llm)
    asked: list[ToolCase] = []
    prompts: list[list[int]] = []
    for where, case in benchmark.cases:
        try:
            prompt = talk.prompt(case)
        except TemplateError as error:
            benchmark.unusable.append(f"{where}: {error}")
            continue
        if context is not None and len(prompt) >= context:
            benchmark.unusable.append(
                f"{where}: the prompt has {len(prompt)} tokens, the model's context {context}"
            )
            continue
        asked.append(case)
        prompts.append(prompt)
    if not asked:
        raise DataError(f"no request fits the model; the first: {benchmark.unusable[0]}")
    answers = answer_prompts(
        model.llm,
        model.tokenizer,
        prompts,
        stop_words=model.stop_words,
        batch_size=batch_size,
        max_new_tokens=max_new_tokens,
        on_progress=lambda done: on_progress(done, len(asked)),
    )
    rows = [
        _row(case, answer.text, talk.read(case, answer.text, answer.written))
        for case, answer in zip(asked, answers, strict=True)
    ]
    return EvaluationResult(rows, skipped=len(benchmark.unusable))


def _row(case: ToolCase, got: str, read: ReadAnswer) -> EvaluationRow:
    row = EvaluationRow(
        request=case.messages[-1]["content"],
        expected=case.expected,
        got=got,
        kind=case.kind,
        needs_call=bool(case.accepted),
        right=not read.calls and not read.malformed,
        checks={"readable": not read.malformed},
    )
    if not case.accepted:
        return row
    verdict = judge(case, read.calls)
    checks = {**row.checks, "tool": verdict.tool, "arguments": verdict.arguments}
    return replace(row, right=verdict.arguments, checks=checks)


def _truths(path: str) -> dict[str, dict[str, Any]]:
    """The ground truth of each id."""
    found = {}
    for where, row in open_source(path, split="held_out").rows():
        if "id" not in row or "ground_truth" not in row:
            raise UsageError(f"--answers {where}: a row needs 'id' and 'ground_truth'")
        found[str(row["id"])] = {"ground_truth": row["ground_truth"]}
    return found


def _functions(path: str) -> Sequence[Mapping[str, Any]]:
    rows: Iterable[Any] = (row for _, row in open_source(path, split="train").rows())
    return read_tools(list(rows))
