"""The same items measured twice: what was won, what was lost, and what of it may be luck."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from xtune.errors import UsageError
from xtune.eval.loss_curve import LossCurve
from xtune.eval.radar import ABILITIES, AbilityScore, abilities
from xtune.eval.results import ItemResult, Results, TaskResult
from xtune.eval.statistics import Paired, paired

__all__ = ["Comparison", "abilities_of"]

_SHOWN = 5  # flipped items of each kind, in results.json


@dataclass(frozen=True)
class Comparison:
    """Two results of the same tasks.

    Attributes:
        title: of the page.
        before: the first one.
        after: the second one.
        curve: losses of the run between them; empty if there was none.
    """

    title: str
    before: Results
    after: Results
    curve: LossCurve = field(default_factory=lambda: LossCurve({}, {}))

    def __post_init__(self) -> None:
        if not self.tasks:
            raise UsageError(
                f"the two results share no task: {', '.join(self.before.tasks)} and "
                f"{', '.join(self.after.tasks)}"
            )

    @property
    def tasks(self) -> list[str]:
        """The labels of the tasks that both have."""
        return [name for name in self.after.tasks if name in self.before.tasks]

    def of(self, task: str) -> tuple[TaskResult, TaskResult]:
        """Return a task's result before and after."""
        return self.before[task], self.after[task]

    @cached_property
    def _pairs(self) -> dict[str, list[tuple[ItemResult, ItemResult]]]:
        found = {}
        for task in self.tasks:
            earlier = {row.id: row for row in self.before[task].rows}
            rows = self.after[task].rows
            found[task] = [
                (earlier[row.id], row)
                for row in rows
                if row.id in earlier and earlier[row.id].question == row.question
            ]
        return found

    def pairs(self, task: str) -> list[tuple[ItemResult, ItemResult]]:
        """Return the items that both have, by id and question, each before and after.

        Args:
            task: a label.
        """
        return self._pairs[task]

    def alone(self, task: str) -> int:
        """Return how many items only one of the two has, or each with another question.

        Args:
            task: a label.
        """
        one, other = (len(each.rows) for each in self.of(task))
        return max(one, other) - len(self.pairs(task))

    def paired(self, task: str, metric: str | None = None) -> Paired | None:
        """Compare a metric over the items that have it both times; None if none has.

        Args:
            task: a label.
            metric: its name; None: the headline.
        """
        name = metric or self.after[task].headline
        both = [
            (a.id, b.metrics[name], a.metrics[name])
            for b, a in self.pairs(task)
            if name in b.metrics and name in a.metrics
        ]
        if not both:
            return None
        return paired({id: v for id, v, _ in both}, {id: v for id, _, v in both})

    def flips(self, task: str) -> tuple[list[ItemResult], list[ItemResult]]:
        """Return the items that were right and are wrong, and those that are right now.

        Args:
            task: a label.
        """
        name = self.after[task].headline
        lost: list[ItemResult] = []
        gained: list[ItemResult] = []
        for before, after in self.pairs(task):
            change = after.metrics.get(name, 0) - before.metrics.get(name, 0)
            (gained if change > 0 else lost if change < 0 else []).append(after)
        return (gained, lost) if self.after[task].lower_is_better else (lost, gained)

    def differing(self, task: str) -> list[str]:
        """Return the settings in which the two measurements are not alike.

        Args:
            task: a label.
        """
        one, other = self.before[task].settings, self.after[task].settings
        own = {"template", "token_budget", "default_system"}  # of each model, or of the memory
        return sorted(key for key in {*one, *other} - own if one.get(key) != other.get(key))

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON values; the items are in those of before and after."""
        return {
            "format_version": 2,
            "title": self.title,
            "before": self.before.name,
            "after": self.after.name,
            "date": self.after.run.get("date"),
            "tasks": {name: self._task(name) for name in self.tasks},
        }

    def _task(self, name: str) -> dict[str, Any]:
        before, after = self.of(name)
        lost, gained = self.flips(name)
        compared = {metric: self.paired(name, metric) for metric in after.metrics}
        return {
            "headline": after.headline,
            "before": before.score,
            "after": after.score,
            "macro": {"before": before.macro, "after": after.macro},
            "n": len(self.pairs(name)),
            "paired": {metric: asdict(each) for metric, each in compared.items() if each},
            "groups": {
                group: {
                    "before": before.measured(group=group)._asdict(),
                    "after": after.measured(group=group)._asdict(),
                }
                for group in after.groups
            },
            "overall": {"before": before.overall, "after": after.overall},
            "near_ties": {"before": before.near_ties, "after": after.near_ties},
            "unanswered": {"before": before.unanswered, "after": after.unanswered},
            "lost": len(lost),
            "gained": len(gained),
            "examples": {
                "lost": [_example(row) for row in lost[:_SHOWN]],
                "gained": [_example(row) for row in gained[:_SHOWN]],
            },
            "settings_that_differ": self.differing(name),
        }


def abilities_of(results: Results) -> dict[str, float]:
    """Return the axes of the radar that a result has; see `abilities`.

    Args:
        results: of one model.
    """
    scores = [
        AbilityScore(task.ability, task.score, task.chance)
        for task in results.tasks.values()
        if task.ability in ABILITIES and task.score is not None and 0 <= task.score <= 1
    ]
    return abilities(scores)


def _example(row: ItemResult) -> dict[str, Any]:
    return {"id": row.id, "question": row.question[:300], "got": row.got, "expected": row.expected}
