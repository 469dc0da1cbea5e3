"""HellaSwag: how does this everyday scene go on? Four endings, three of them written by a model.

Form: completion or chat. Shots: 0 or 10. Scoring: option_text, the headline per character. Prompt
and numbers are those of lm_eval 0.4.13. The test split has no labels: the validation split is it.

Source: https://github.com/rowanz/hellaswag (data/, MIT), or Rowan/hellaswag on the hub.
Paper: Zellers et al. 2019, HellaSwag: Can a Machine Really Finish Your Sentence?
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from xtune.eval.published import Part, field
from xtune.eval.tasks.base import Item
from xtune.eval.tasks.choices import TextTask, checked_options, gold_index
from xtune.eval.tasks.published_task import PublishedTask
from xtune.registry import EVALUATIONS

__all__ = ["HellaSwag"]


@EVALUATIONS.register_module()
class HellaSwag(TextTask, PublishedTask):
    """Endings of `hellaswag_val.jsonl`; see the module and `PublishedTask`."""

    name = "hellaswag"
    source = "https://github.com/rowanz/hellaswag (data/) or the hub's Rowan/hellaswag"
    parts = {
        "validation": Part("hellaswag_val.jsonl", "validation", items=10042),
        "train": Part("hellaswag_train.jsonl", "train", items=39905),
    }
    headline = "acc_norm"
    ability = "reasoning"

    def item(self, row: Mapping[str, Any], where: str, number: int) -> Item:
        """Return the scene of a row with its endings, without WikiHow's marks.

        Args: as `PublishedTask.item`.
        """
        first, second = field(row, where, "ctx_a"), field(row, where, "ctx_b")
        scene = f"{field(row, where, 'activity_label')}: {first} {second.capitalize()}"
        endings = field(row, where, "endings", kind=list)
        options = checked_options([_plain(ending) for ending in endings], where)
        return Item(
            id=str(row.get("ind", number)),
            question=_plain(scene),
            gold=gold_index(field(row, where, "label", kind=object), options, where),
            options=options,
            where=where,
        )

    def question(self, item: Item) -> str:
        """Return the scene, which the ending follows; see `QuestionTask`."""
        return item.question


def _plain(text: str) -> str:
    text = text.strip().replace(" [title]", ". ")
    return re.sub(r"\[.*?\]", "", text).replace("  ", " ")
