"""Does the model answer a request with exactly the right tool call?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from xtune.data.map_fns import UnusableRow, build_map_fn
from xtune.data.sources import open_source
from xtune.data.tool_calls import call_in
from xtune.errors import DataError
from xtune.eval.call_match import is_attempt, same_call
from xtune.eval.result import EvaluationResult, EvaluationRow
from xtune.generation.generate import answer_batch
from xtune.registry import EVALUATIONS
from xtune.structures import Conversation, Message

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["ToolCallEvaluation"]


@EVALUATIONS.register_module()
class ToolCallEvaluation:
    """Asks each held-out request and compares the answer with the call in the data.

    A row whose last assistant message is a JSON call is right if the answer is that call and
    nothing else; any other row is right if the answer makes no call. A row's `kind`, if it has
    one, groups it in the report.

    Args:
        data_path: where the rows are, as for a data set.
        split: which of the source's splits.
        map_fn: how a row is read.
        batch_size: requests answered at once.
        max_new_tokens: of an answer; a call is short, and a model that makes none rambles.

    Raises:
        DataError: `data_path` names nothing.
    """

    def __init__(
        self,
        *,
        data_path: str | Sequence[str] | Mapping[str, Any],
        split: str = "held_out",
        map_fn: str | Callable[..., Any] | Mapping[str, Any] = "openai",
        batch_size: int = 32,
        max_new_tokens: int = 64,
    ) -> None:
        self.source = open_source(data_path, split=split)
        self._map_fn = build_map_fn(map_fn)
        self._batch_size = batch_size
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
        """Ask the model everything, the likeliest answer each.

        Args:
            llm: a causal language model, with a PEFT adapter or without.
            tokenizer: has a chat template.
            stop_words: the template's own.
            max_rows: ask this many instead of all, spread evenly over the data.
            on_progress: called with the number of answers there are and will be.

        Raises:
            DataError: there is no usable row, or one without an answer to compare with.
        """
        result = EvaluationResult()
        cases = list(self._cases(result))
        if not cases:
            raise DataError(f"nothing to evaluate: {result.skipped} rows, none usable")
        if max_rows is not None and max_rows < len(cases):
            cases = [cases[at * len(cases) // max_rows] for at in range(max_rows)]
        answers = answer_batch(
            llm,
            tokenizer,
            [prompt for prompt, _, _ in cases],
            stop_words=stop_words,
            batch_size=self._batch_size,
            max_new_tokens=self._max_new_tokens,
            on_progress=lambda done: on_progress(done, len(cases)),
        )
        for (prompt, expected, kind), got in zip(cases, answers, strict=True):
            needs_call = call_in(expected) is not None
            result.rows.append(
                EvaluationRow(
                    request=prompt[-1]["content"],
                    expected=expected,
                    got=got,
                    kind=kind,
                    needs_call=needs_call,
                    right=same_call(got, expected) if needs_call else not is_attempt(got),
                )
            )
        return result

    def _cases(self, result: EvaluationResult) -> Iterator[tuple[list[Message], str, str]]:
        """Yield prompt, expected answer and kind of each usable row; count the others."""
        for where, row in self.source.rows():
            try:
                messages = cast(Conversation, self._map_fn(row)).get("messages", [])
            except UnusableRow:
                result.skipped += 1
                continue
            except DataError as error:
                raise DataError(f"{where}: {error}") from error
            if len(messages) < 2 or messages[-1]["role"] != "assistant":
                raise DataError(f"{where}: the last message must be the assistant's answer")
            yield messages[:-1], messages[-1]["content"], str(row.get("kind", "all"))
