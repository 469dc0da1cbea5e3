"""The three kinds of rows that a user's own file of questions may have; see own_file.py."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from xtune.eval.extraction import (
    after_answer_is,
    boxed_in,
    last_number,
    letters_in,
    without_thought,
)
from xtune.eval.metrics.exact_match import bare, matches, same_number
from xtune.eval.published import damaged, field
from xtune.eval.tasks.base import (
    Ask,
    Candidate,
    Choices,
    Form,
    Generation,
    Item,
    Likelihoods,
    Prompt,
    Response,
    Score,
    Texts,
)
from xtune.eval.tasks.choices import LETTERS, checked_options, lettered, score_letters

__all__ = [
    "AnswerRows",
    "ChoiceRows",
    "JudgedRows",
    "OwnRows",
    "options_of",
    "score_letter_sets",
]

_SEPARATORS = " ,;/、，；和&"


class OwnRows(ABC):
    """How rows of one kind are read, asked and scored.

    Args:
        chinese: the questions are; then the cues are too.
        max_new_tokens: of an answer in words.

    Attributes:
        scoring, headline: see `Task`.
        fields: that rows of this kind may have, besides id, group and question.
        said: how the rows are read, for the user.
    """

    scoring: ClassVar[str]
    headline: ClassVar[str]
    fields: ClassVar[tuple[str, ...]]
    said: ClassVar[str]

    def __init__(self, chinese: bool, max_new_tokens: int) -> None:
        self.chinese = chinese
        self.max_new_tokens = max_new_tokens

    @abstractmethod
    def item(
        self, row: Mapping[str, Any], where: str, name: str, question: str, *, group: str
    ) -> Item:
        """Return the question that a row is.

        Args:
            row: of the file.
            where: it stands: the file and the line.
            name: the item's id.
            question: its text, stripped.
            group: the row's; '': none.

        Raises:
            DataError: the row is damaged; names the file and the line.
        """

    @abstractmethod
    def ask(self, item: Item, form: Form) -> Ask:
        """Return what is asked.

        Args: as `Task.ask`.
        """

    @abstractmethod
    def score(self, item: Item, response: Response) -> Score:
        """Return what an answer is worth.

        Args: as `Task.score`.
        """

    def chance(self, items: Sequence[Item]) -> float:
        """Return what guessing would get; see `Task`."""
        return 0.0

    def settings(self) -> dict[str, Any]:
        """Return what decides the number; see `Task`."""
        return {"cue": self.cue, "max_new_tokens": self.max_new_tokens}

    @property
    def cue(self) -> str:
        """The last line of a question in the completion form."""
        return "答案：" if self.chinese else "Answer:"

    def plain(self, question: str) -> Prompt:
        """Return a question with its cue, for the completion form."""
        before = "问题：" if self.chinese else "Question: "
        return Prompt(
            question=f"{before}{question}\n{self.cue}", delimiter="" if self.chinese else " "
        )


class ChoiceRows(OwnRows):
    """Options, of which one or several are right."""

    scoring = "option_letter"
    headline = "acc"
    fields = ("options", "choices", "answer")
    said = "questions with options, answered by letter"

    def item(
        self, row: Mapping[str, Any], where: str, name: str, question: str, *, group: str
    ) -> Item:
        """Return a question whose gold is an index, or a list of them.

        Args: as `OwnRows.item`.
        """
        columns = options_of(row)
        given = [row[letter] for letter in columns]
        if "options" in row or "choices" in row:
            given = list(field(row, where, "options", "choices", kind=list))
        options = checked_options(given, where)
        gold = _gold(field(row, where, "answer", kind=object), options, where)
        return Item(name, question, gold, options, group, where)

    def ask(self, item: Item, form: Form) -> Ask:
        """Return the letters as candidates, or an answer in words where several are right.

        Args: as `Task.ask`.
        """
        delimiter = "" if self.chinese else " "
        text = lettered(item.question, item.options, self.cue)
        prompt = Prompt(question=text, delimiter=delimiter)
        letters = LETTERS[: len(item.options)]
        if isinstance(item.gold, int):
            return Choices(tuple(Candidate(prompt, letter) for letter in letters))
        hint = "有一个或多个正确选项。" if self.chinese else "One or more options are right."
        several = Prompt(
            question=lettered(f"{item.question}\n{hint}", item.options, self.cue),
            delimiter=delimiter,
        )
        if form == "completion":
            return Generation(several, stop=("\n",), max_new_tokens=16)
        return Generation(several, max_new_tokens=self.max_new_tokens)

    def score(self, item: Item, response: Response) -> Score:
        """Return 'acc', and 'share' where several options are right.

        Args: as `Task.score`.
        """
        if isinstance(response, Likelihoods):
            return score_letters(item, response)
        return score_letter_sets(item, response)

    def chance(self, items: Sequence[Item]) -> float:
        """Return one of the options, or one of their sets; see `OwnRows`."""
        return sum(chance_of(item) for item in items) / len(items) if items else 0.0


class AnswerRows(OwnRows):
    """A short answer that must be given exactly."""

    scoring = "exact_match"
    headline = "exact_match"
    fields = ("answer", "aliases")
    said = "questions with an exact answer"

    def item(
        self, row: Mapping[str, Any], where: str, name: str, question: str, *, group: str
    ) -> Item:
        """Return a question whose gold is every answer that is right.

        Args: as `OwnRows.item`.
        """
        answer = field(row, where, "answer", kind=object)
        aliases = row.get("aliases") or []
        if isinstance(aliases, str):
            aliases = aliases.split("|")
        given = [*(answer if isinstance(answer, list) else [answer]), *aliases]
        texts = [str(one).strip() for one in given if one is not None]
        if not texts or not all(texts):
            raise damaged(where, f"the answer is {answer!r}, and must be a text or a list of texts")
        return Item(name, question, texts, group=group, where=where)

    def ask(self, item: Item, form: Form) -> Ask:
        """Return the question; in the chat form with the word to answer briefly.

        Args: as `Task.ask`.
        """
        if form == "completion":
            return Generation(self.plain(item.question), ("\n",), self.max_new_tokens)
        briefly = "只回答答案本身。" if self.chinese else "Reply with the answer alone."
        return Generation(
            Prompt(question=f"{item.question}\n\n{briefly}"), max_new_tokens=self.max_new_tokens
        )

    def score(self, item: Item, response: Response) -> Score:
        """Return 'exact_match', and 'contains': the answer stands somewhere in it.

        Args: as `Task.score`.
        """
        text = _text(response)
        readings = [text, boxed_in(text), after_answer_is(text), *text.splitlines()[:1]]
        exact = any(
            same_number(last_number(text) or "", wanted)
            if _is_number(wanted)
            else any(matches(one, [wanted], bare) for one in readings if one)
            for wanted in item.gold
        )
        contains = any(bare(wanted) in bare(text) for wanted in item.gold)
        return Score(
            metrics={"exact_match": float(exact), "contains": float(contains or exact)},
            got=text,
            expected=item.gold[0],
            unanswered=not text,
        )


class JudgedRows(OwnRows):
    """Open questions; a judge says later what the answers are worth."""

    scoring = "judged"
    headline = "rating"
    fields = ("reference",)
    said = "open questions, to be judged: the answers are kept, and have no number yet"

    def item(
        self, row: Mapping[str, Any], where: str, name: str, question: str, *, group: str
    ) -> Item:
        """Return a question whose gold is the reference, or nothing.

        Args: as `OwnRows.item`.
        """
        reference = row.get("reference")
        if reference is not None and not isinstance(reference, str):
            raise damaged(where, f"the reference is {reference!r}, and must be a text")
        return Item(name, question, reference or None, group=group, where=where)

    def ask(self, item: Item, form: Form) -> Ask:
        """Return the question as it stands.

        Args: as `Task.ask`.
        """
        plain = form == "completion"
        prompt = self.plain(item.question) if plain else Prompt(question=item.question)
        return Generation(prompt, max_new_tokens=self.max_new_tokens)

    def score(self, item: Item, response: Response) -> Score:
        """Return the answer without a metric.

        Args: as `Task.score`.
        """
        text = _text(response)
        return Score({}, got=text, expected=item.gold or "", unanswered=not text)


def options_of(row: Mapping[str, Any]) -> str:
    """Return the letters of the columns that hold options: 'ABCD', or '' for none.

    A table has '' where a row has fewer options than another.

    Args:
        row: of a file.
    """
    found = ""
    for letter in LETTERS:
        if letter not in row or row[letter] in ("", None):
            break
        found += letter
    return found if len(found) > 1 else ""


def score_letter_sets(item: Item, response: Response) -> Score:
    """Return what an answer in words is worth where several options are right.

    'acc' is 1 where exactly the right options are named; 'share' is the part of them that is
    named, 0 where a wrong one is too.

    Args:
        item: whose gold is a list of indices.
        response: one text.
    """
    letters = LETTERS[: len(item.options)]
    named = letters_in(_text(response), letters)
    right = {letters[index] for index in item.gold}
    share = len(named & right) / len(right) if named and named <= right else 0.0
    return Score(
        metrics={"acc": float(named == right), "share": share},
        got="".join(sorted(named or ())),
        expected="".join(sorted(right)),
        unanswered=named is None,
        notes={} if named else {"answer": _text(response)},
    )


def chance_of(item: Item) -> float:
    """Return what guessing gets of one item: one of its options, or one of their sets."""
    count = len(item.options)
    if not count:
        return 0.0
    return 1 / count if isinstance(item.gold, int) else 1 / (2**count - 1)


def _gold(answer: object, options: Sequence[str], where: str) -> int | list[int]:
    """Which option is right, or which several are."""
    if isinstance(answer, list):
        several = sorted({_one(each, options, where) for each in answer})
        if not several:
            raise damaged(where, "the answer is an empty list")
        return several
    text = answer.strip() if isinstance(answer, str) else ""
    letters = "".join(character for character in text if character not in _SEPARATORS)
    if text not in options and len(letters) > 1 and set(letters) <= set(LETTERS[: len(options)]):
        return sorted({LETTERS.index(letter) for letter in letters})
    return _one(answer, options, where)


def _one(answer: object, options: Sequence[str], where: str) -> int:
    """Which option is meant by a letter, its text, or its number from 0."""
    text = answer.strip() if isinstance(answer, str) else ""
    same = [index for index, option in enumerate(options) if option.strip() == text]
    letter = LETTERS.find(text) if len(text) == 1 else -1
    if same and 0 <= letter < len(options) and same != [letter]:
        raise damaged(
            where,
            f"the answer {text!r} is both a letter and the text of option {LETTERS[same[0]]}: "
            "write its number, from 0",
        )
    if len(same) > 1:
        raise damaged(where, f"the answer {text!r} is the text of several options")
    if same:
        return same[0]
    if 0 <= letter < len(options):
        return letter
    number = int(text) if text.isascii() and text.isdigit() else answer
    if isinstance(number, int) and not isinstance(number, bool) and 0 <= number < len(options):
        return number
    last = len(options) - 1
    raise damaged(
        where,
        f"the answer is {answer!r}, and must be a letter A to {LETTERS[last]}, the text of an "
        f"option, or its number from 0 to {last}",
    )


def _text(response: Response) -> str:
    if not isinstance(response, Texts):
        raise TypeError(f"words are scored by Texts, not {type(response).__name__}")
    return without_thought(response.samples[0].text).strip()


def _is_number(text: str) -> bool:
    return last_number(text) is not None and same_number(last_number(text) or "", text)
