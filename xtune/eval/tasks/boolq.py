"""BoolQ: yes or no, from a passage of Wikipedia.

Form: completion or chat. Shots: 0. Scoring: option_text of 'no' and 'yes'. Prompt and numbers are
those of lm_eval 0.4.13, which has the rows of SuperGLUE: there the passage begins with its title,
'title -- ', which is put before those of the original file.

Source: https://github.com/google-research-datasets/boolean-questions (CC BY-SA 3.0): dev.jsonl;
SuperGLUE's val.jsonl, or aps/super_glue (boolq) on the hub.
Paper: Clark et al. 2019, BoolQ: Exploring the Surprising Difficulty of Natural Yes/No Questions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xtune.eval.published import Part, damaged, field
from xtune.eval.tasks.base import Item
from xtune.eval.tasks.choices import TextTask
from xtune.eval.tasks.published_task import PublishedTask
from xtune.registry import EVALUATIONS

__all__ = ["BoolQ"]


@EVALUATIONS.register_module()
class BoolQ(TextTask, PublishedTask):
    """Questions of `dev.jsonl`; see the module and `PublishedTask`."""

    name = "boolq"
    source = (
        "https://github.com/google-research-datasets/boolean-questions or the hub's aps/super_glue"
    )
    parts = {
        "validation": Part(("dev.jsonl", "val.jsonl"), "validation", config="boolq", items=3270),
        "train": Part("train.jsonl", "train", config="boolq", items=9427),
    }
    metrics = ("acc",)
    ability = "knowledge"

    def item(self, row: Mapping[str, Any], where: str, number: int) -> Item:
        """Return the question of a row with its passage.

        Args: as `PublishedTask.item`.
        """
        passage = field(row, where, "passage")
        if "title" in row:
            passage = f"{field(row, where, 'title')} -- {passage}"
        answer = field(row, where, "answer", "label", kind=object)
        if answer not in (0, 1):
            raise damaged(where, f"the answer is {answer!r}, and must be true or false, 1 or 0")
        return Item(
            id=str(number),
            question=f"{passage}\nQuestion: {field(row, where, 'question')}?",
            gold=int(answer),
            options=("no", "yes"),
            where=where,
        )

    def question(self, item: Item) -> str:
        """Return the passage, the question and 'Answer:'; see `QuestionTask`."""
        return f"{item.question}\nAnswer:"
