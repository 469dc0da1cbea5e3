"""Does the model answer a request with exactly the right tool call?

Form: chat. Shots: none. Scoring: exact_match of the call.

Source: rows that end with the call, as one trains on; see `ToolCallEvaluation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from xtune.data.tool_calls import call_in
from xtune.errors import DataError
from xtune.eval.call_match import is_attempt, same_call
from xtune.eval.tasks.base import Form, Generation, Item, Prompt, Response, Score, Task, Texts
from xtune.eval.tasks.training_rows import TrainingRows
from xtune.registry import EVALUATIONS
from xtune.structures import Conversation

__all__ = ["ToolCallEvaluation"]


@EVALUATIONS.register_module()
class ToolCallEvaluation(Task):
    """Asks each held-out request and compares the answer with the call in the data.

    A row whose last assistant message is a JSON call is right if the answer is that call and
    nothing else; any other row is right if the answer makes no call. A row's `kind`, if it has
    one, groups it in the report. `answer_tokens` is how long the answers are, of which
    `max_new_tokens` cuts the longest. Rows that no map_fn can use are counted.

    Args:
        data_path: where the rows are, as for a data set.
        split: which of the source's splits.
        map_fn: how a row is read.
        batch_size: of older configs; not read, and said so, since batches are continuous.
        max_new_tokens: of an answer; a call is short, and a model that makes none rambles.

    Raises:
        DataError: `data_path` names nothing.
    """

    name: ClassVar[str] = "toolcall"
    scoring: ClassVar[str] = "exact_match"
    headline: ClassVar[str] = "right"
    forms: ClassVar[tuple[Form, ...]] = ("chat",)

    def __init__(
        self,
        *,
        data_path: str | Sequence[str] | Mapping[str, Any],
        split: str = "held_out",
        map_fn: str | Callable[..., Any] | Mapping[str, Any] = "openai",
        batch_size: int | None = None,
        max_new_tokens: int = 64,
    ) -> None:
        self._rows = TrainingRows(data_path, split, map_fn)
        self._max_new_tokens = max_new_tokens
        self._batch_size = batch_size

    def items(self) -> Sequence[Item]:
        """Read the rows.

        Raises:
            DataError: there is no usable row, or one without an answer to compare with.
        """
        return self._rows.items(_item)

    def ask(self, item: Item, form: Form) -> Generation:
        """Ask the row's dialogue up to its last answer, the likeliest answer.

        Args:
            item: one of `items()`.
            form: the chat form.
        """
        prompt = Prompt(messages=tuple(item.fields["messages"]))
        return Generation(prompt, max_new_tokens=self._max_new_tokens)

    def score(self, item: Item, response: Response) -> Score:
        """Compare with the call in the data; see the class.

        Args:
            item: one of `items()`.
            response: the answer.
        """
        assert isinstance(response, Texts)
        got = response.samples[0].text
        needs_call = call_in(item.gold) is not None
        right = float(same_call(got, item.gold) if needs_call else not is_attempt(got))
        name = "exact_calls" if needs_call else "no_needless_calls"
        metrics = {"right": right, name: right, "answer_tokens": float(response.samples[0].tokens)}
        return Score(metrics, got=got, expected=item.gold)

    def settings(self) -> dict[str, Any]:
        """Return what decides the number."""
        return {"max_new_tokens": self._max_new_tokens, "rows_skipped": self._rows.skipped}

    def notices(self, items: Sequence[Item], scores: Sequence[Score]) -> list[str]:
        """Say that an older config's batch size is not read.

        Args: as `Task.notices`.
        """
        if self._batch_size is None:
            return []
        said = f"batch_size={self._batch_size} is not read any more"
        return [f"{said}: as many are answered at once as the memory allows; leave it out"]


def _item(made: Conversation, row: Mapping[str, Any]) -> Item:
    messages = made.get("messages", [])
    if len(messages) < 2 or messages[-1]["role"] != "assistant":
        raise DataError("the last message must be the assistant's answer")
    return Item(
        id="",
        question=messages[-2]["content"],
        gold=messages[-1]["content"],
        group=str(row.get("kind", "all")),
        fields={"messages": messages[:-1]},
    )
