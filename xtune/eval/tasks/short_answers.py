"""Questions of general knowledge with a short answer, any of several: TriviaQA, NQ-open."""

from __future__ import annotations

from typing import ClassVar

from xtune.eval.metrics.exact_match import folded, matches
from xtune.eval.metrics.overlap import f1_of_words
from xtune.eval.tasks.base import Item, Score
from xtune.eval.tasks.generated import AnsweredTask

__all__ = ["ShortAnswerTask"]


class ShortAnswerTask(AnsweredTask):
    """The first words of the answer against each right one.

    exact_match  it is one of them, once case, punctuation (and articles) are off
    f1           of words, with the best of them
    contains     one of them stands in the answer: for models that write sentences
    """

    ability: ClassVar[str | None] = "knowledge"
    usual_tokens = 32
    stop = ("\n", ".", ",")
    chat_stop = ("\n",)

    def fold(self, text: str) -> str:
        """Return a text without what does not matter.

        Args:
            text: an answer, or a right one.
        """
        return folded(text)

    def answer(self, item: Item) -> str:
        """Return the first right answer; see `QuestionTask`."""
        return str(item.gold[0])

    def worth(self, item: Item, text: str) -> Score:
        """Return the three metrics.

        Args: as `AnsweredTask.worth`.
        """
        said = text.strip()
        words = self.fold(said).split()
        wanted = [self.fold(each).split() for each in item.gold]
        return Score(
            metrics={
                "exact_match": float(matches(said, item.gold, self.fold)),
                "f1": max(f1_of_words(words, each) for each in wanted),
                "contains": float(any(_within(each, words) for each in wanted if each)),
            },
            got=said,
            expected=" / ".join(item.gold[:5]),
            unanswered=not words,
        )


def _within(few: list[str], many: list[str]) -> bool:
    """Whether some words stand next to each other among others."""
    return any(many[at : at + len(few)] == few for at in range(len(many) - len(few) + 1))
