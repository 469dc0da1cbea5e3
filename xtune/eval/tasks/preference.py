"""Which of two answers does the model give more readily? Pairs, as one trains on them.

    the better answer    log p, its end of the turn included     -> margin, who prefers what
    the worse answer     log p, likewise

Form: chat. Shots: none. Scoring: option_text.

Where a model is measured before and after it has learnt, a pair whose margin has risen is one whose
implicit reward (of DPO and its kin) is right: the better answer has gained more than the worse one.

Source: rows of pairs; see `PreferenceEvaluation`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from xtune.data.map_fns import UnusableRow
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
from xtune.eval.tasks.training_rows import TrainingRows
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
        self._rows = TrainingRows(data_path, split, map_fn)

    def items(self) -> Sequence[Item]:
        """Read the rows.

        Raises:
            DataError: there is no usable row.
        """
        return self._rows.items(_item)

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
        return {"rows_skipped": self._rows.skipped}


def _item(pair: Preference, row: Mapping[str, Any]) -> Item:
    sides = [_text_alone(pair[side]) for side in ("chosen", "rejected")]
    return Item(
        id="",
        question=str(pair["prompt"][-1].get("content", "")),
        gold=0,
        options=tuple(sides),
        group=str(row.get("source", "all")),
        fields={"prompt": pair["prompt"]},
    )


def _text_alone(answer: Sequence[Message]) -> str:
    """The text of an answer of one message without calls."""
    (message, *more) = answer
    if more or message.get("tool_calls") or message["content"] is None:
        raise UnusableRow("an answer of more than one message, or with calls")
    return message["content"]
