"""Choosing among options by their likelihood: what tasks of multiple choice share.

    LetterTask   option_letter   A B C D, all read at one position
    TextTask     option_text     each option's own text; per character, per byte too

A task of one's own takes one of the two and says which items there are:

    @EVALUATIONS.register_module()
    class Rivers(LetterTask):
        '''Rivers of Europe, asked by letters.'''

        name = "rivers"

        def items(self):
            return [Item("1", "Which is longer?", gold=0, options=("Danube", "Rhine"))]
"""

from __future__ import annotations

import math
import string
from collections.abc import Sequence
from typing import ClassVar

from xtune.eval.published import damaged
from xtune.eval.tasks.base import (
    Candidate,
    Choices,
    Form,
    Item,
    Likelihoods,
    Response,
    Score,
)
from xtune.eval.tasks.question_task import QuestionTask

__all__ = [
    "LETTERS",
    "LetterTask",
    "TextTask",
    "checked_options",
    "gold_index",
    "lettered",
    "likelihoods",
    "mean",
    "score_letters",
    "two_best",
]

LETTERS = string.ascii_uppercase


class LetterTask(QuestionTask):
    """Options have letters, and the likeliest letter after the question is the answer.

    Attributes:
        cue: the last line of a question.
    """

    scoring: ClassVar[str] = "option_letter"
    cue: ClassVar[str] = "Answer:"

    def question(self, item: Item) -> str:
        """Return the question, a line an option and the cue; see `QuestionTask`."""
        return lettered(item.question.strip(), item.options, self.cue)

    def answer(self, item: Item) -> str:
        """Return the letter of the right option; see `QuestionTask`."""
        return LETTERS[item.gold]

    def ask(self, item: Item, form: Form) -> Choices:
        """Return one prompt with a candidate for each letter.

        Args: as `Task.ask`.
        """
        prompt = self.prompt(item)
        return Choices(tuple(Candidate(prompt, LETTERS[i]) for i in range(len(item.options))))

    def score(self, item: Item, response: Response) -> Score:
        """Return 'acc'.

        `letter_mass` in the notes is the probability of all letters together: where it is small,
        the model would rather write something else there, and its letter says little.

        Args: as `Task.score`.
        """
        return score_letters(item, response)


class TextTask(QuestionTask):
    """The text of each option follows the question, and the likeliest is the answer.

        acc        the largest sum of log-probabilities
        acc_norm   the largest sum per character of the option
        acc_bytes  the largest sum per byte of its UTF-8

    Attributes:
        metrics: those of them that the task has.
    """

    scoring: ClassVar[str] = "option_text"
    metrics: ClassVar[tuple[str, ...]] = ("acc", "acc_norm", "acc_bytes")

    def answer(self, item: Item) -> str:
        """Return the right option's text; see `QuestionTask`."""
        return item.options[item.gold]

    def ask(self, item: Item, form: Form) -> Choices:
        """Return one prompt with a candidate for each option.

        Args: as `Task.ask`.
        """
        prompt = self.prompt(item)
        return Choices(tuple(Candidate(prompt, option) for option in item.options))

    def score(self, item: Item, response: Response) -> Score:
        """Return the metrics; `got` is what the headline's measure chooses.

        The margin is how many nats the best option could lose before the second overtakes it.

        Args: as `Task.score`.
        """
        sums = [one.log_prob for one in likelihoods(response).candidates]
        lengths = {
            "acc": [1] * len(sums),
            "acc_norm": [len(option) for option in item.options],
            "acc_bytes": [len(option.encode()) for option in item.options],
        }
        chosen, margins = {}, {}
        for metric in self.metrics:
            per = [total / length for total, length in zip(sums, lengths[metric], strict=True)]
            chosen[metric], apart = two_best(per)
            margins[metric] = apart * lengths[metric][chosen[metric]]
        return Score(
            metrics={metric: float(best == item.gold) for metric, best in chosen.items()},
            got=item.options[chosen[self.headline]],
            expected=item.options[item.gold],
            margin=margins[self.headline],
        )


def lettered(question: str, options: Sequence[str], cue: str) -> str:
    r"""Return a question with its options, each on a line after its letter, and the cue.

    Args:
        question: the first lines.
        options: at most 26.
        cue: the last line.

    >>> lettered("How many?", ["1", "2"], "Answer:")
    'How many?\nA. 1\nB. 2\nAnswer:'
    """
    lines = [f"{letter}. {option}" for letter, option in zip(LETTERS, options, strict=False)]
    return "\n".join([question, *lines, cue])


def checked_options(
    options: Sequence[object], where: str, *, may_be_empty: bool = False
) -> tuple[str, ...]:
    """Return options that a question can have.

    Args:
        options: of a row.
        where: the row stands.
        may_be_empty: an option without a text is one, as where letters are scored.

    Raises:
        DataError: fewer than two or more than 26, or one that is no text or empty.
    """
    if not 2 <= len(options) <= len(LETTERS):
        raise damaged(
            where,
            f"{len(options)} options; a question has 2 to {len(LETTERS)}, A to {LETTERS[-1]}",
        )
    for number, option in enumerate(options):
        if not isinstance(option, str) or not (option or may_be_empty):
            raise damaged(where, f"option {LETTERS[number]} is {option!r}, and must be a text")
    return tuple(str(option) for option in options)


def gold_index(answer: object, options: Sequence[str], where: str) -> int:
    """Return which option is right.

    Args:
        answer: its letter, or its number from 0, as a number or in digits.
        options: of the row.
        where: the row stands.

    Raises:
        DataError: neither, or beyond the options.
    """
    text = str(answer).strip() if not isinstance(answer, bool) else ""
    if len(text) == 1 and text in LETTERS[: len(options)]:
        return LETTERS.index(text)
    if text.isascii() and text.isdigit() and int(text) < len(options):
        return int(text)
    last = len(options) - 1
    raise damaged(
        where, f"the answer is {answer!r}, and must be A to {LETTERS[last]} or 0 to {last}"
    )


def likelihoods(response: Response) -> Likelihoods:
    """Return the answer to `Choices`.

    Raises:
        TypeError: it answers something else.
    """
    if not isinstance(response, Likelihoods):
        raise TypeError(f"options are scored by Likelihoods, not {type(response).__name__}")
    return response


def score_letters(item: Item, response: Response) -> Score:
    """Return what the log-probabilities of letters are worth; see `LetterTask.score`.

    Args:
        item: whose gold is an index, or None where nobody knows.
        response: `Likelihoods` of a letter an option.
    """
    sums = [one.log_prob for one in likelihoods(response).candidates]
    best, margin = two_best(sums)
    known = item.gold is not None
    return Score(
        metrics={"acc": float(best == item.gold)} if known else {},
        got=LETTERS[best],
        expected=LETTERS[item.gold] if known else "",
        margin=margin,
        notes={"letter_mass": sum(map(math.exp, sums))},
    )


def two_best(values: Sequence[float]) -> tuple[int, float]:
    """Return the index of the largest value, the first of equal ones, and by how much it leads.

    >>> two_best([-3.0, -1.0, -1.0, -2.0])
    (1, 0.0)
    """
    best = max(range(len(values)), key=values.__getitem__)
    others = [value for i, value in enumerate(values) if i != best]
    return best, values[best] - max(others)


def mean(values: Sequence[float]) -> float:
    """Return the mean of at least one value."""
    return sum(values) / len(values)
