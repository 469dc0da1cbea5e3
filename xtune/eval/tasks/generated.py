"""Benchmarks that are answered in the model's own words: what their tasks share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from xtune.errors import UsageError
from xtune.eval.extraction import without_thought
from xtune.eval.metrics.variety import shape_of
from xtune.eval.tasks.base import (
    Form,
    Generation,
    Item,
    Response,
    Score,
    Text,
    Texts,
)
from xtune.eval.tasks.choices import mean
from xtune.eval.tasks.published_task import PublishedTask

__all__ = ["AnsweredTask", "GeneratedTask", "answer_notes", "checked_tokens", "shares", "texts_of"]


class GeneratedTask(PublishedTask):
    """Rows of published files that are answered with texts.

    The shares of answers that the length limit cut, and of empty ones, stand next to the score.

    Args:
        data_path: a folder, or a hub id; see `published`. None: $XTUNE_EVAL_DATA.
        split: which rows are asked about; None: the first of `parts`.
        shots: rows that are shown first; None: as many as is usual.
        max_new_tokens: of an answer; None: as many as is usual.

    Attributes:
        usual_shots: of the benchmark.
        usual_tokens: of an answer.
        stop: what ends an answer in the completion form.
        chat_stop: likewise in the chat form, where the model ends by itself.
    """

    scoring: ClassVar[str] = "exact_match"
    headline: ClassVar[str] = "exact_match"
    usual_shots: ClassVar[int] = 0
    usual_tokens: ClassVar[int] = 256
    stop: ClassVar[tuple[str, ...]] = ()
    chat_stop: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        *,
        data_path: str | None = None,
        split: str | None = None,
        shots: int | None = None,
        max_new_tokens: int | None = None,
    ) -> None:
        super().__init__(
            data_path=data_path, split=split, shots=self.usual_shots if shots is None else shots
        )
        self.max_new_tokens = checked_tokens(self.name, max_new_tokens, self.usual_tokens)

    def ask(self, item: Item, form: Form) -> Generation:
        """Return the prompt, the stop strings and the length.

        Args: as `Task.ask`.
        """
        return Generation(
            self.prompt(item),
            stop=self.chat_stop if form == "chat" else self.stop,
            max_new_tokens=self.max_new_tokens,
        )

    def settings(self) -> dict[str, Any]:
        """Return the length and the stop strings too; see `Task`."""
        return {
            **super().settings(),
            "max_new_tokens": self.max_new_tokens,
            "stop": {"completion": list(self.stop), "chat": list(self.chat_stop)},
        }

    def overall(self, items: Sequence[Item], scores: Sequence[Score]) -> dict[str, float]:
        """Return the shares of cut and of empty answers.

        Args: as `Task.overall`.
        """
        return shares(scores)


class AnsweredTask(GeneratedTask):
    """One answer an item, whose text a subclass reads and scores, thoughts left out."""

    def score(self, item: Item, response: Response) -> Score:
        """Return what the answer is worth, thoughts left out.

        Args: as `Task.score`.
        """
        (answer,) = texts_of(response)
        score = self.worth(item, without_thought(answer.text))
        return replace(score, notes={**score.notes, **answer_notes([answer])})

    @abstractmethod
    def worth(self, item: Item, text: str) -> Score:
        """Return what an answer is worth.

        Args:
            item: which was asked about.
            text: of the answer.
        """


def texts_of(response: Response) -> tuple[Text, ...]:
    """Return the answers in words."""
    assert isinstance(response, Texts)
    return response.samples


def answer_notes(answers: Sequence[Text]) -> dict[str, Any]:
    """What `shares` needs of an item's answers."""
    shape = shape_of(answers)
    return {"cut": shape["cut"], "empty": shape["empty"], "tokens": shape["mean_tokens"]}


def shares(scores: Sequence[Score]) -> dict[str, float]:
    """Return `share_cut` by the length limit, `share_empty` and `mean_tokens` of all answers.

    Args:
        scores: of a task of this kind.
    """
    names = {"cut": "share_cut", "empty": "share_empty", "tokens": "mean_tokens"}
    return {
        name: mean([score.notes[note] for score in scores])
        for note, name in names.items()
        if scores
    }


def checked_tokens(task: str, given: int | None, usual: int) -> int:
    """Return how many tokens an answer may have.

    Args:
        task: its name.
        given: by the user.
        usual: where nothing is given.

    Raises:
        UsageError: it is no number above 0.
    """
    if given is None:
        return usual
    if not isinstance(given, int) or isinstance(given, bool) or given < 1:
        raise UsageError(f"{task}: max_new_tokens={given!r}; allowed: 1 or more")
    return given
