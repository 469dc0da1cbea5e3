"""Exams in many subjects, each with files of its own: what MMLU, C-Eval and CMMLU share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Literal

from xtune.errors import UsageError
from xtune.eval.published import Part, Published, chosen_subjects, field
from xtune.eval.tasks.base import Item, Prompt, Score, Shot
from xtune.eval.tasks.choices import (
    LETTERS,
    LetterTask,
    checked_options,
    gold_index,
    mean,
)
from xtune.eval.tasks.published_task import checked_shots, checked_split

__all__ = ["ChineseExam", "Subject", "SubjectExam", "subject_table"]


@dataclass(frozen=True, slots=True)
class Subject:
    """A subject: what prompts call it, and the categories that it counts for."""

    title: str
    categories: tuple[str, ...]


class SubjectExam(LetterTask):
    """Four options each, asked by letters, after questions of the same subject's dev split.

    Args:
        data_path: a folder, or a hub id; see `published`. None: $XTUNE_EVAL_DATA.
        split: which rows are asked about; None: the usual one.
        shots: rows of dev that are shown first, in the file's order.
        subjects: only these; None: all, each of which must be there.

    Attributes:
        source: where the files can be had.
        folders: further names of their folder.
        published_rows: of each split, the usual one first and dev last.
        subjects: all of them by their files' names.
        weighted: a category's mean is over its questions; else over its subjects.
    """

    ability: ClassVar[str | None] = "exam"
    source: ClassVar[str]
    folders: ClassVar[tuple[str, ...]] = ()
    published_rows: ClassVar[Mapping[str, int]]
    subjects: ClassVar[Mapping[str, Subject]]
    weighted: ClassVar[bool] = False

    def __init__(
        self,
        *,
        data_path: str | None = None,
        split: str | None = None,
        shots: int = 5,
        subjects: Sequence[str] | None = None,
    ) -> None:
        asked = [name for name in self.published_rows if name != "dev"]
        self.split = checked_split(self.name, split or asked[0], asked)
        self.shots = checked_shots(self.name, shots, "dev")
        self.published = Published(self.name, data_path, source=self.source, folders=self.folders)
        splits = (self.split, "dev") if shots else (self.split,)
        parts = {
            subject: [self.part(subject, split) for split in splits] for subject in self.subjects
        }
        self.chosen = chosen_subjects(
            self.name, list(self.subjects), subjects, self.published, parts
        )

    @abstractmethod
    def part(self, subject: str, split: str) -> Part:
        """Return where the rows of a subject's split are.

        Args:
            subject: by its files' name.
            split: one of `published_rows`.
        """

    def items(self) -> Sequence[Item]:
        """Return a question a row, subject by subject; see `Task`."""
        return self._items

    def settings(self) -> dict[str, Any]:
        """Return the split, the shots, the subjects and how many rows there are; see `Task`."""
        return {
            "split": self.split,
            "shots": self.shots,
            "shots_from": "the first of dev",
            "subjects": "all" if self._has_all else self.chosen,
            "data": self.published.name(),
            "items": len(self._items),
            "published_items": self.published_rows[self.split] if self._has_all else None,
        }

    def notices(self, items: Sequence[Item], scores: Sequence[Score]) -> list[str]:
        """Say where not all rows or subjects are there.

        Args: as `Task.notices`.
        """
        if not self._has_all:
            return [f"{len(self.chosen)} of {len(self.subjects)} subjects"]
        splits = {name: Part((), name, items=rows) for name, rows in self.published_rows.items()}
        said = self.published.count_notice(len(self._items), splits, self.split)
        return [said] if said else []

    def overall(self, items: Sequence[Item], scores: Sequence[Score]) -> dict[str, float]:
        """Return the mean of each category, 'acc_stem'.

        Args: as `Task.overall`.
        """
        by_subject: dict[str, list[float]] = {}
        for item, score in zip(items, scores, strict=True):
            if "acc" in score.metrics:
                by_subject.setdefault(item.group, []).append(score.metrics["acc"])
        found: dict[str, list[float]] = {}
        for subject, right in by_subject.items():
            for category in self.subjects[subject].categories:
                found.setdefault(category, []).extend(right if self.weighted else [mean(right)])
        return {f"acc_{category}": mean(values) for category, values in found.items()}

    def row_item(self, row: Mapping[str, Any], where: str, subject: str, number: int) -> Item:
        """Return the question that a row is.

        Args:
            row: with a question, four options and mostly an answer.
            where: it stands.
            subject: by its files' name.
            number: of the row in its file, from 0.

        Raises:
            DataError: the row is damaged; names the file and the line.
        """
        question = field(row, where, "question", "Question")
        if "choices" in row:
            given = list(field(row, where, "choices", kind=list))
        elif "choice0" in row:
            given = [field(row, where, f"choice{i}") for i in range(4)]
        else:
            given = [field(row, where, letter) for letter in LETTERS[:4]]
        options = checked_options(given, where, may_be_empty=True)
        answer = row.get("answer", row.get("Answer"))
        has_gold = self.has_gold or bool(answer)
        return Item(
            id=f"{subject}/{row.get('id') or number}",
            question=question,
            gold=gold_index(answer, options, where) if has_gold else None,
            options=options,
            group=subject,
            where=where,
        )

    @property
    def has_gold(self) -> bool:
        """Whether the split's answers are published."""
        return True

    @property
    def _has_all(self) -> bool:
        return len(self.chosen) == len(self.subjects)

    @cached_property
    def _items(self) -> list[Item]:
        made = [item for subject in self.chosen for item in self._of_subject(subject)]
        if not made:
            raise UsageError(f"{self.name}: {self.split} has no rows: take it from {self.source}")
        return made

    def _of_subject(self, subject: str) -> list[Item]:
        shown: tuple[Shot, ...] = ()
        if self.shots:
            examples = self._rows(subject, "dev")[: self.shots]
            if len(examples) < self.shots:
                raise UsageError(
                    f"{self.name}: shots={self.shots}, but dev has {len(examples)} rows of "
                    f"{subject}"
                )
            shown = tuple(Shot(self.question(one), self.answer(one)) for one in examples)
        return [replace(item, shots=shown) for item in self._rows(subject, self.split)]

    def _rows(self, subject: str, split: str) -> list[Item]:
        rows = self.published.rows(self.part(subject, split))
        return [self.row_item(row, where, subject, n) for n, (where, row) in enumerate(rows)]


class ChineseExam(SubjectExam):
    """An exam in Chinese, in the words of lm_eval or of its authors, whose numbers differ.

    Args:
        prompt: 'lm_eval' or 'original', the authors'.
        **given: data_path, split, subjects and shots, as those of `SubjectExam`.

    Raises:
        UsageError: `prompt` is neither.
    """

    def __init__(self, *, prompt: Literal["lm_eval", "original"] = "lm_eval", **given: Any) -> None:
        if prompt not in ("lm_eval", "original"):
            raise UsageError(f"{self.name}: prompt={prompt!r}; allowed: 'lm_eval', 'original'")
        self.written = prompt
        super().__init__(**given)

    def prompt(self, item: Item) -> Prompt:
        """Return the prompt; the authors have no blank before the letter; see `QuestionTask`."""
        prompt = super().prompt(item)
        return replace(prompt, delimiter="") if self.written == "original" else prompt

    def settings(self) -> dict[str, Any]:
        """Return whose prompt it is, besides; see `SubjectExam`."""
        return super().settings() | {"prompt": self.written}


def subject_table(text: str) -> dict[str, Subject]:
    """Return subjects by their files' names, from lines 'category,category: name Title; name …'.

    Args:
        text: the lines; a title that is left out is the name with blanks.

    >>> subject_table("stem: machine_learning; physics 物理")["machine_learning"]
    Subject(title='machine learning', categories=('stem',))
    """
    found: dict[str, Subject] = {}
    for line in text.strip().splitlines():
        categories, _, names = line.strip().partition(": ")
        for entry in names.rstrip(";").split("; "):
            name, _, title = entry.strip().partition(" ")
            found[name] = Subject(title or name.replace("_", " "), tuple(categories.split(",")))
    return found
