"""RACE: reading for Chinese pupils of English, four options to each question on an article.

Form: completion or chat. Shots: none; an article's earlier questions stand before with their
answers. Scoring: option_text. `questions='last'` asks only the last question of each article, as
lm_eval 0.4.13 does, whose numbers these are (1,045 of level high); 'all' asks each in its turn.

Source: https://www.cs.cmu.edu/~glai1/data/race (for research only): test/high/<n>.txt, one JSON
object each; or EleutherAI/race (high) on the hub.
Paper: Lai et al. 2017, RACE: Large-scale ReAding Comprehension Dataset From Examinations.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import PurePath
from typing import Any, Literal, NamedTuple

from xtune.errors import UsageError
from xtune.eval.published import Part, Published, damaged, field
from xtune.eval.tasks.base import Item, Score
from xtune.eval.tasks.choices import TextTask, checked_options, gold_index
from xtune.eval.tasks.published_task import checked_split
from xtune.registry import EVALUATIONS

__all__ = ["RACE"]

# Articles, and questions on them
_PUBLISHED = {
    "high": {"test": (1045, 3498), "validation": (1021, 3451)},
    "middle": {"test": (362, 1436), "validation": (368, 1436)},
}
_FOLDERS = {"test": "test", "validation": "dev"}
_GAP = "  _  ."  # how a question ends that the answer completes


class _Problem(NamedTuple):
    question: str
    options: tuple[str, ...]
    gold: int


@EVALUATIONS.register_module()
class RACE(TextTask):
    """Questions on articles of `test/high/*.txt`; see the module.

    Args:
        data_path: a folder, or a hub id; see `published`. None: $XTUNE_EVAL_DATA.
        level: 'high' or 'middle'.
        questions: 'last' of each article, or 'all'.
        split: 'test' or 'validation'.
    """

    name = "race"
    source = "https://www.cs.cmu.edu/~glai1/data/race (RACE.tar.gz) or the hub's EleutherAI/race"
    ability = "understanding"

    def __init__(
        self,
        *,
        data_path: str | None = None,
        level: Literal["high", "middle"] = "high",
        questions: Literal["last", "all"] = "last",
        split: str = "test",
    ) -> None:
        if level not in _PUBLISHED:
            raise UsageError(f"race: level={level!r}; allowed: {', '.join(map(repr, _PUBLISHED))}")
        if questions not in ("last", "all"):
            raise UsageError(f"race: questions={questions!r}; allowed: 'last', 'all'")
        self.level = level
        self.questions = questions
        self.split = checked_split(self.name, split, list(_PUBLISHED[level]))
        self.part = Part(f"{_FOLDERS[split]}/{level}/*.txt", split, config=level)
        self.published = Published(self.name, data_path, source=self.source)
        self.published.require(self.part)

    def items(self) -> Sequence[Item]:
        """Return the questions, article by article; see `Task`."""
        return self._items

    def question(self, item: Item) -> str:
        """Return the article, its earlier questions with answers, and the question."""
        return item.question

    def settings(self) -> dict[str, Any]:
        """Return the level, which questions, and how many there are; see `Task`."""
        return {
            "split": self.split,
            "level": self.level,
            "questions": self.questions,
            "data": self.published.name(),
            "items": len(self._items),
            "published_items": self._published,
        }

    def notices(self, items: Sequence[Item], scores: Sequence[Score]) -> list[str]:
        """Say where there are not as many questions as were published.

        Args: as `Task.notices`.
        """
        part = Part((), self.split, items=self._published)
        said = self.published.count_notice(len(self._items), {self.split: part}, self.split)
        return [said] if said else []

    @property
    def _published(self) -> int:
        return _PUBLISHED[self.level][self.split][self.questions == "all"]

    @cached_property
    def _items(self) -> list[Item]:
        made: list[Item] = []
        for number, (where, row) in enumerate(self.published.rows(self.part)):
            article = field(row, where, "article")
            problems = list(_problems(row, where))
            if not problems:
                raise damaged(where, "the article has no question")
            asked = range(len(problems))[-1 if self.questions == "last" else 0 :]
            name = PurePath(str(row.get("id") or number)).stem
            made += [
                Item(
                    id=f"{name}/{place}",
                    question=_asked(article, problems[: place + 1]),
                    gold=problems[place].gold,
                    options=problems[place].options,
                    where=where,
                )
                for place in asked
            ]
        return made


def _asked(article: str, problems: Sequence[_Problem]) -> str:
    """The article, all problems but the last with their answers, and the last one's question."""
    text = f"Article: {article}\n\n"
    for question, options, gold in problems[:-1]:
        if question.endswith(_GAP):
            text += f"{question[: 1 - len(_GAP)]}{options[gold]}\n"
        else:
            text += f"Question: {question}\nAnswer: {options[gold]}\n"
    return text + problems[-1].question


def _problems(row: Mapping[str, Any], where: str) -> Iterator[_Problem]:
    """A row's problems: three lists as published, or a text that holds a list, as on the hub."""
    if "problems" in row:
        try:
            listed = ast.literal_eval(
                field(row, where, "problems")
            )  # reads constants, runs nothing
            given = [(one["question"], one["options"], one["answer"]) for one in listed]
        except (ValueError, SyntaxError, TypeError, KeyError, RecursionError) as error:
            raise damaged(where, f"'problems' cannot be read: {error}") from error
    else:
        lists = [field(row, where, name, kind=list) for name in ("questions", "options", "answers")]
        if len({len(one) for one in lists}) != 1:
            counts = " / ".join(str(len(one)) for one in lists)
            raise damaged(where, f"questions / options / answers are {counts}, and must be equal")
        given = list(zip(*lists, strict=True))
    for question, options, answer in given:
        texts = checked_options(options, where)
        yield _Problem(str(question), texts, gold_index(answer, texts, where))
