"""What an evaluation found: a row an item, the means they make, and how they were measured.

    Results        one model, measured once: results.json
      TaskResult   one task of it
        ItemResult one item: a line of items.jsonl

None of them knows what a task is about: a tool call and a letter are metrics with a name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from xtune.eval.contamination import Contamination
from xtune.eval.statistics import group_means, mean_of
from xtune.eval.tasks.base import Item, Likelihoods, Response, RollingLikelihood, Score, Texts

__all__ = [
    "FORMAT_VERSION",
    "NEAR_TIE",
    "ItemResult",
    "Measured",
    "Results",
    "TaskResult",
    "in_words",
    "item_result",
]

NEAR_TIE = 1e-2  # nats between the two best options: bf16 and batching may turn these over
FORMAT_VERSION = 2


@dataclass(frozen=True, slots=True)
class ItemResult:
    """One item, what should be answered and what was: a line of items.jsonl.

    Attributes:
        task: the label of its task.
        id, group, where, question, options: of the `Item`.
        expected, got, metrics, unanswered, margin, notes: of the `Score`.
        raw: what the model said: the texts, or the log-probabilities of the candidates.
        cut: tokens that its prompt lost at the left, to fit the model.
    """

    task: str
    id: str
    group: str
    where: str
    question: str
    options: Sequence[str]
    expected: str
    got: str
    metrics: Mapping[str, float]
    unanswered: bool = False
    margin: float | None = None
    raw: Any = None
    notes: Mapping[str, Any] = field(default_factory=dict)
    cut: int = 0


class Measured(NamedTuple):
    """A metric over items: its mean, of how many, and the mean's standard error if known."""

    mean: float
    n: int
    stderr: float | None = None
    is_share: bool = False

    def __str__(self) -> str:
        if not self.n:
            return "none"
        if self.is_share:
            return f"{round(self.mean * self.n)} of {self.n} ({100 * self.mean:.0f} %)"
        return f"{self.mean:.4g}"


@dataclass(slots=True)
class TaskResult:
    """What a task has found of one model.

    Attributes:
        task: its label: the task's name, with a number where one was asked twice.
        headline: the metric that a table shows first.
        lower_is_better: whether less of it is better.
        ability: the axis of the radar; None: none.
        chance: what guessing would get of the headline.
        settings: what decides the number: form, shots, system text, scoring, hashes …
        first_prompt: of the first item, exactly as the model was given it.
        rows: one an item, in the task's order.
        overall: metrics that are no mean over items.
        notices: what the task itself says of the numbers.
        attachments: files of the task's own, JSON values by name.
        contamination: what of the items stands in the training rows, see `find_overlaps`; None:
            nobody has looked.
        of: how many items the task has, of which `rows` may be a part.
        seconds: that asking and scoring took.
    """

    task: str
    headline: str
    lower_is_better: bool
    ability: str | None
    chance: float
    settings: dict[str, Any]
    first_prompt: str
    rows: list[ItemResult]
    overall: dict[str, float] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    attachments: dict[str, Any] = field(default_factory=dict)
    contamination: Contamination | None = None
    of: int = 0
    seconds: float = 0.0

    @property
    def groups(self) -> list[str]:
        """The groups, in the order of their first item."""
        return list(dict.fromkeys(row.group for row in self.rows))

    @property
    def metrics(self) -> list[str]:
        """The metrics that items have, the headline first."""
        found = dict.fromkeys(name for row in self.rows for name in row.metrics)
        return sorted(found, key=lambda name: name != self.headline)

    @property
    def macro(self) -> float | None:
        """The mean of the groups' means of the headline; None where there are not two groups."""
        having = [row for row in self.rows if self.headline in row.metrics]
        if len({row.group for row in having}) < 2:
            return None
        values = [row.metrics[self.headline] for row in having]
        means = group_means(values, [row.group for row in having])
        return mean_of([each.value for each in means.values()]).value

    @property
    def score(self) -> float | None:
        """The headline over all items, or as the task makes it of them; None of no item."""
        if self.headline in self.overall:
            return self.overall[self.headline]
        whole = self.measured()
        return whole.mean if whole.n else None

    @property
    def is_share(self) -> bool:
        """Whether the score lies between 0 and 1, and more of it is better: shown in percent."""
        return not self.lower_is_better and self.score is not None and 0 <= self.score <= 1

    @property
    def unanswered(self) -> int:
        """Items from whose answer nothing could be read."""
        return sum(row.unanswered for row in self.rows)

    @property
    def near_ties(self) -> int:
        """Items whose two best options are less than NEAR_TIE apart."""
        return sum(row.margin is not None and row.margin < NEAR_TIE for row in self.rows)

    @property
    def cut(self) -> int:
        """Items whose prompt was cut at the left."""
        return sum(row.cut > 0 for row in self.rows)

    @property
    def rooms(self) -> list[int]:
        """How many tokens each answer could have, of the items with less room than the limit."""
        return [row.notes["room"] for row in self.rows if "room" in row.notes]

    @property
    def cut_answers(self) -> int:
        """Items with an answer that the limit of new tokens ended."""
        return sum(
            any(one.get("ended_by") == "length" for one in row.raw if isinstance(one, Mapping))
            for row in self.rows
            if isinstance(row.raw, list)
        )

    def measured(self, metric: str | None = None, *, group: str | None = None) -> Measured:
        """Return a metric over all items that have it, or those of a group.

        Args:
            metric: its name; None: the headline.
            group: of the items; None: all.
        """
        name = metric or self.headline
        values = [
            row.metrics[name]
            for row in self.rows
            if name in row.metrics and group in (None, row.group)
        ]
        return _measured(values)

    @property
    def warnings(self) -> list[str]:
        """What a reader must know before the numbers are believed."""
        masses = [row.notes["letter_mass"] for row in self.rows if "letter_mass" in row.notes]
        said = list(self.notices)
        mass = mean_of(masses).value if masses else 1.0
        if mass < 0.1:
            said.append(
                f"the letters have {100 * mass:.2g} % of the probability where they are read: the "
                "model would write something else there, such as 'The answer is'"
            )
        if self.contamination is not None and self.contamination.touched:
            said.append(
                f"{len(self.contamination.touched)} items stand in the training rows; without "
                f"them {self.headline} is {self._untouched()}"
            )
        if self.cut:
            longer = "1 prompt is" if self.cut == 1 else f"{self.cut} prompts are"
            said.append(f"{longer} longer than the model's context: cut at the left")
        if self.rooms:
            said.append(
                f"{len(self.rooms)} of {len(self.rows)} answers had room for "
                f"{min(self.rooms)} to {max(self.rooms)} tokens, not for "
                f"{self.settings.get('max_new_tokens', 'as many as were wanted')}: the model takes "
                f"{self.settings.get('max_length')} in all"
            )
        if self.cut_answers:
            ended = "1 answer was" if self.cut_answers == 1 else f"{self.cut_answers} answers were"
            said.append(f"{ended} ended by the limit of new tokens")
        if len(self.rows) < self.of:
            said.append(f"{len(self.rows)} of {self.of} items, evenly spaced: a partial result")
        return said

    def to_dict(self) -> dict[str, Any]:
        """Return all but the rows, as JSON values."""
        return {
            "headline": self.headline,
            "lower_is_better": self.lower_is_better,
            "ability": self.ability,
            "chance": self.chance,
            "score": self.score,
            "n": len(self.rows),
            "of": self.of,
            "partial": len(self.rows) < self.of,
            "metrics": {
                name: {**self.measured(name)._asdict(), **self._macro_of(name)}
                for name in self.metrics
            },
            "overall": self.overall,
            "groups": {
                group: {name: self.measured(name, group=group)._asdict() for name in self.metrics}
                for group in self.groups
            },
            "unanswered": self.unanswered,
            "near_ties": self.near_ties,
            "cut": self.cut,
            "cut_answers": self.cut_answers,
            "short_of_room": len(self.rooms),
            "notices": self.notices,
            "contamination": None if self.contamination is None else self._contamination(),
            "warnings": self.warnings,
            "settings": self.settings,
            "first_prompt": self.first_prompt,
        }

    def _untouched(self) -> Measured:
        """The headline over the items that no training row has."""
        touched = () if self.contamination is None else self.contamination.touched
        values = [
            row.metrics[self.headline]
            for row in self.rows
            if row.id not in touched and self.headline in row.metrics
        ]
        return _measured(values)

    def _contamination(self) -> dict[str, Any]:
        assert self.contamination is not None
        return {**asdict(self.contamination), "without_touched": self._untouched()._asdict()}

    def _macro_of(self, metric: str) -> dict[str, float]:
        if metric != self.headline or self.macro is None:
            return {}
        return {"macro": self.macro}


@dataclass(slots=True)
class Results:
    """One model, measured once.

    Attributes:
        name: the model, and what was put on it, for people.
        model: what it is made of: hashes, dtype, quantization, template.
        tasks: by label.
        versions: of what computed it.
        run: date, machine, seconds: what may differ between two that are equal.
    """

    name: str
    model: dict[str, Any]
    tasks: dict[str, TaskResult] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)

    def __getitem__(self, task: str) -> TaskResult:
        return self.tasks[task]

    def to_dict(self) -> dict[str, Any]:
        """Return all but the items, as JSON values: what results.json holds."""
        return {
            "format_version": FORMAT_VERSION,
            "name": self.name,
            "model": self.model,
            "tasks": {name: task.to_dict() for name, task in self.tasks.items()},
            "versions": self.versions,
            "run": self.run | {"task_seconds": {n: t.seconds for n, t in self.tasks.items()}},
        }


def item_result(task: str, item: Item, response: Response, score: Score) -> ItemResult:
    """Return the row of an item.

    Args:
        task: the label of its task.
        item: what was asked.
        response: what the model answered.
        score: what that is worth.
    """
    if isinstance(response, Likelihoods):
        raw: Any = [asdict(one) for one in response.candidates]
    elif isinstance(response, RollingLikelihood):
        raw = asdict(response)
    else:
        raw = [asdict(one) for one in response.samples]
    less = response.room if isinstance(response, Texts) else None
    room = {} if less is None else {"room": less}
    return ItemResult(
        task=task,
        id=item.id,
        group=item.group,
        where=item.where,
        question=item.question,
        options=list(item.options),
        expected=score.expected,
        got=score.got,
        metrics={name: float(value) for name, value in score.metrics.items()},
        unanswered=score.unanswered,
        margin=score.margin,
        raw=raw,
        notes={**score.notes, **room},
        cut=getattr(response, "cut", 0),
    )


def in_words(name: str) -> str:
    """Return the name of a metric or a group as a reader sees it.

    >>> in_words('two_calls')
    'two calls'
    """
    return name.replace("_", " ")


def _measured(values: Sequence[float]) -> Measured:
    if not values:
        return Measured(0.0, 0)
    whole = mean_of(values)
    return Measured(whole.value, whole.n, whole.stderr, {*values} <= {0, 1})
