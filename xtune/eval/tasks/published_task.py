"""Benchmarks whose rows are in published files: what their tasks share."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

from xtune.errors import UsageError, did_you_mean
from xtune.eval.published import Part, Published
from xtune.eval.tasks.base import Item, Score, Shot
from xtune.eval.tasks.question_task import QuestionTask

__all__ = ["PublishedTask", "checked_shots", "checked_split"]


class PublishedTask(QuestionTask):
    """A benchmark with a file a split; a subclass makes items of its rows.

    Args:
        data_path: a folder, or a hub id; see `published`. None: $XTUNE_EVAL_DATA.
        split: which rows are asked about; None: the first of `parts`.
        shots: rows of `shots_from` that are shown first, in the file's order.

    Attributes:
        source: where the files can be had.
        folders: further names of their folder.
        parts: the splits, the usual one first.
        shots_from: the split whose rows are shown; '' where none are.
    """

    source: ClassVar[str]
    folders: ClassVar[tuple[str, ...]] = ()
    parts: ClassVar[Mapping[str, Part]]
    shots_from: ClassVar[str] = "train"

    def __init__(
        self, *, data_path: str | None = None, split: str | None = None, shots: int = 0
    ) -> None:
        asked = [name for name in self.parts if name != self.shots_from]
        self.split = checked_split(self.name, split or asked[0], asked)
        self.shots = checked_shots(self.name, shots, self.shots_from)
        self.published = Published(self.name, data_path, source=self.source, folders=self.folders)
        needed = [self.parts[self.split]]
        if shots:
            needed.append(self.parts[self.shots_from])
        self.published.require(*needed)

    @abstractmethod
    def item(self, row: Mapping[str, Any], where: str, number: int) -> Item:
        """Return the question that a row is.

        Args:
            row: of a file.
            where: it stands.
            number: of the row in its split, from 0.

        Raises:
            DataError: the row is damaged; names the file and the line.
        """

    def items(self) -> Sequence[Item]:
        """Return a question a row; see `Task`."""
        return self._items

    def settings(self) -> dict[str, Any]:
        """Return the split, the shots and how many rows there are; see `Task`."""
        shots = {"shots_from": f"the first of {self.shots_from}"} if self.shots else {}
        return {
            "split": self.split,
            "shots": self.shots,
            **shots,
            "data": self.published.name(),
            "items": len(self._items),
            "published_items": self.parts[self.split].items,
        }

    def notices(self, items: Sequence[Item], scores: Sequence[Score]) -> list[str]:
        """Say where the split has not as many rows as were published.

        Args: as `Task.notices`.
        """
        said = self.published.count_notice(len(self._items), self.parts, self.split)
        return [said] if said else []

    def rows(self, split: str) -> list[Item]:
        """Return the questions of a split, without shots.

        Args:
            split: one of `parts`.
        """
        rows = self.published.rows(self.parts[split])
        return [self.item(row, where, number) for number, (where, row) in enumerate(rows)]

    def shown(self, item: Item) -> tuple[Shot, ...]:
        """Return what is shown before an item: the first rows of `shots_from`, unless overridden.

        Args:
            item: one of the asked split.
        """
        return self._first

    @cached_property
    def _items(self) -> list[Item]:
        asked = self.rows(self.split)
        if not asked:
            raise UsageError(f"{self.name}: {self.split} has no rows: take it from {self.source}")
        return [replace(one, shots=self.shown(one)) for one in asked]

    @cached_property
    def _first(self) -> tuple[Shot, ...]:
        examples = self.rows(self.shots_from)[: self.shots] if self.shots else []
        if len(examples) < self.shots:
            raise UsageError(
                f"{self.name}: shots={self.shots}, but {self.shots_from} has {len(examples)} rows"
            )
        return tuple(Shot(self.question(one), self.answer(one)) for one in examples)


def checked_split(task: str, split: str, allowed: Sequence[str]) -> str:
    """Return the split that is asked about.

    Args:
        task: its name, for the message.
        split: what the user said.
        allowed: the splits that can be asked about.

    Raises:
        UsageError: the task has none of this name.
    """
    if split not in allowed:
        raise UsageError(
            f"{task} has no split {split!r}{did_you_mean(split, allowed) or ';'} allowed: "
            f"{', '.join(allowed)}"
        )
    return split


def checked_shots(task: str, shots: int, shots_from: str) -> int:
    """Return the number of shots.

    Args:
        task: its name, for the message.
        shots: what the user said.
        shots_from: the split that they are taken from; '': the task shows none.

    Raises:
        UsageError: it is negative or no whole number, or the task shows none.
    """
    if not isinstance(shots, int) or isinstance(shots, bool) or shots < 0:
        raise UsageError(f"{task}: shots={shots!r}; allowed: 0, 1, 2 …")
    if shots and not shots_from:
        raise UsageError(f"{task}: shots={shots}; it is asked without, shots=0")
    return shots
