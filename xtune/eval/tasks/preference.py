"""Which of two answers does the model give more readily? Pairs, as one trains on them.

    the better answer    log p, its end of the turn included     -> margin, who prefers what
    the worse answer     log p, likewise

Form: chat. Shots: none. Scoring: option_text.

Where a model is measured before and after it has learnt, a pair whose margin has risen is one whose
implicit reward (of DPO and its kin) is right: the better answer has gained more than the worse one.

Source: rows of pairs; see `PreferenceEvaluation`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, cast

from xtune.data.map_fns import UnusableRow, build_map_fn
from xtune.data.sources import open_source
from xtune.errors import DataError
from xtune.eval.tasks.base import (
    Candidate,
    Choices,
    Form,
    Item,
    Likelihoods,
    Prompt,
    Response,
    Score,
    Task,
)
from xtune.registry import EVALUATIONS
from xtune.structures import Message, Preference

__all__ = ["PreferenceEvaluation"]


@EVALUATIONS.register_module()
class PreferenceEvaluation(Task):
    """Asks how likely each of a pair's answers is.

        prefers_better   1 where the better answer is the likelier one, as a whole
        per_token        the same per token, so that a long answer is not worse for its length
        margin           log p(better) - log p(worse), nats
        logp_better      log p(better), nats

    A row's `source`, if it has one, groups it in the report. Rows that no map_fn can use, and
    answers of more than one message, are counted.

    Args:
        data_path: where the rows are, as for a data set.
        split: which of the source's splits.
        map_fn: how a row is read.

    Raises:
        DataError: `data_path` names nothing.
    """

    name: ClassVar[str] = "preference"
    scoring: ClassVar[str] = "option_text"
    headline: ClassVar[str] = "prefers_better"
    forms: ClassVar[tuple[Form, ...]] = ("chat",)

    def __init__(
        self,
        *,
        data_path: str | Sequence[str] | Mapping[str, Any],
        split: str = "held_out",
        map_fn: str | Callable[..., Any] | Mapping[str, Any] = "preference",
    ) -> None:
        self.source = open_source(data_path, split=split)
        self.skipped = 0
        self._map_fn = build_map_fn(map_fn)

    def items(self) -> Sequence[Item]:
        """Read the rows; `skipped` is how many of them cannot be used.

        Raises:
            DataError: there is no usable row.
        """
        self.skipped = 0
        items = list(self._items())
        if not items:
            raise DataError(f"nothing to evaluate: {self.skipped} rows, none usable")
        return items

    def ask(self, item: Item, form: Form) -> Choices:
        """Ask for both answers, each with the end of its turn.

        Args: as `Task.ask`.
        """
        prompt = Prompt(messages=tuple(item.fields["prompt"]))
        return Choices(tuple(Candidate(prompt, text, ended=True) for text in item.options))

    def score(self, item: Item, response: Response) -> Score:
        """Compare the two; see the class.

        Args: as `Task.score`.
        """
        assert isinstance(response, Likelihoods)
        better, worse = response.candidates
        margin = better.log_prob - worse.log_prob
        means = [each.log_prob / each.tokens for each in (better, worse)]
        return Score(
            {
                "prefers_better": float(margin > 0),
                "per_token": float(means[0] > means[1]),
                "margin": margin,
                "logp_better": better.log_prob,
            },
            got=item.options[0 if margin > 0 else 1],
            expected=item.options[0],
            margin=abs(margin),
        )

    def settings(self) -> dict[str, Any]:
        """Return what decides the number."""
        return {"rows_skipped": self.skipped}

    def _items(self) -> Iterator[Item]:
        for number, (where, row) in enumerate(self.source.rows()):
            try:
                pair = cast(Preference, self._map_fn(row))
            except UnusableRow:
                self.skipped += 1
                continue
            except DataError as error:
                raise DataError(f"{where}: {error}") from error
            sides = (pair["chosen"], pair["rejected"])
            if any(_text_alone(side) is None for side in sides):
                self.skipped += 1
                continue
            yield Item(
                id=str(number),
                question=str(pair["prompt"][-1].get("content", "")),
                gold=0,
                options=tuple(str(_text_alone(side)) for side in sides),
                group=str(row.get("source", "all")),
                where=where,
                fields={"prompt": pair["prompt"]},
            )


def _text_alone(answer: Sequence[Message]) -> str | None:
    """The text of an answer of one message without calls; else None."""
    (message, *more) = answer
    if more or message.get("tool_calls"):
        return None
    return message["content"]
