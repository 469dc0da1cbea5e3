"""PIQA: which of two ways reaches an everyday goal?

Form: completion or chat. Shots: 0. Scoring: option_text. Prompt and numbers are those of lm_eval
0.4.13. The test split has no labels: the validation split is it.

Source: https://yonatanbisk.com/piqa (AFL-3.0): valid.jsonl and, line by line, valid-labels.lst; or
baber/piqa on the hub.
Paper: Bisk et al. 2020, PIQA: Reasoning about Physical Commonsense in Natural Language.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xtune.errors import DataError
from xtune.eval.published import Part, field
from xtune.eval.tasks.base import Item
from xtune.eval.tasks.choices import TextTask, checked_options, gold_index
from xtune.eval.tasks.published_task import PublishedTask
from xtune.registry import EVALUATIONS

__all__ = ["PIQA"]

_LABELS = {"validation": "valid-labels.lst", "train": "train-labels.lst"}


@EVALUATIONS.register_module()
class PIQA(TextTask, PublishedTask):
    """Ways to goals of `valid.jsonl`; see the module and `PublishedTask`."""

    name = "piqa"
    source = "https://yonatanbisk.com/piqa (physicaliqa-train-dev.zip) or the hub's baber/piqa"
    folders = ("physicaliqa", "physicaliqa-train-dev")
    parts = {
        "validation": Part(("valid.jsonl", "dev.jsonl"), "validation", items=1838),
        "train": Part("train.jsonl", "train", items=16113),
    }
    ability = "reasoning"

    def rows(self, split: str) -> list[Item]:
        """Return the questions of a split; labels that the rows lack are in a file of their own."""
        rows = list(self.published.rows(self.parts[split]))
        if rows and "label" not in rows[0][1]:
            name = _LABELS[split]
            other = name.replace("valid", "dev")
            labels = self.published.text(name, other).split()
            if len(labels) != len(rows):
                raise DataError(
                    f"{self.name}: {name} has {len(labels)} labels for {len(rows)} rows, and a "
                    "label belongs to each row: take both files again"
                )
            rows = [
                (where, row | {"label": label})
                for (where, row), label in zip(rows, labels, strict=True)
            ]
        return [self.item(row, where, number) for number, (where, row) in enumerate(rows)]

    def item(self, row: Mapping[str, Any], where: str, number: int) -> Item:
        """Return the goal of a row and its two ways.

        Args: as `PublishedTask.item`.
        """
        options = checked_options([field(row, where, "sol1"), field(row, where, "sol2")], where)
        return Item(
            id=str(number),
            question=field(row, where, "goal"),
            gold=gold_index(field(row, where, "label", kind=object), options, where),
            options=options,
            where=where,
        )

    def question(self, item: Item) -> str:
        """Return 'Question: … Answer:'; see `QuestionTask`."""
        return f"Question: {item.question}\nAnswer:"
