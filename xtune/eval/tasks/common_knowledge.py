"""What everybody knows: 80 short questions that come with xtune, to see what a tuning has cost.

    xtune eval smollm2 --tasks common_knowledge everyday_text      no file, no network

Form: completion, for what a model knows shows there whatever part it has been trained to play: one
that answers requests with calls, and all others with 'I have no tool for that.', keeps to that in a
dialogue. Shots: none. Scoring: option_text, four options a question. The questions are easy on
purpose: SmolLM2 with 135 million parameters gets three quarters of them, so there is something to
lose. They compare a model with itself, before and after; no one has published numbers.

Source: common_knowledge.jsonl, written for xtune; CC0 1.0, anybody may do anything with it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from importlib.resources import files

from xtune.eval.tasks.base import Item
from xtune.eval.tasks.choices import TextTask
from xtune.registry import EVALUATIONS

__all__ = ["CommonKnowledge"]

_FILE = "common_knowledge.jsonl"


@EVALUATIONS.register_module()
class CommonKnowledge(TextTask):
    """The questions; see the module."""

    name = "common_knowledge"
    metrics = ("acc",)
    forms = ("completion",)

    def items(self) -> Sequence[Item]:
        """Return all questions; see `Task`."""
        return self._items

    def question(self, item: Item) -> str:
        """Return 'Question: … Answer:'; see `QuestionTask`."""
        return f"Question: {item.question}\nAnswer:"

    @cached_property
    def _items(self) -> list[Item]:
        text = files("xtune.eval.tasks").joinpath(_FILE).read_text(encoding="utf-8")
        return [
            Item(
                id=row["id"],
                question=row["question"],
                gold=row["answer"],
                options=tuple(row["options"]),
                group=row["group"],
                where=f"{_FILE}:{number}",
            )
            for number, row in enumerate(map(json.loads, text.splitlines()), start=1)
        ]
