"""WinoGrande: whom or what does the blank in this sentence mean?

Form: completion or chat. Shots: 0 or 5. Scoring: option_text the other way round (partial
evaluation): each option fills the blank, and how likely the rest of the sentence is then decides.
Numbers are those of lm_eval 0.4.13. The test split has no labels: dev is it.

Source: https://winogrande.allenai.org (winogrande_1.1.zip, CC BY): dev.jsonl, train_xl.jsonl; or
allenai/winogrande (winogrande_xl) on the hub.
Paper: Sakaguchi et al. 2019, WinoGrande: An Adversarial Winograd Schema Challenge at Scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from xtune.eval.published import Part, damaged, field
from xtune.eval.tasks.base import Candidate, Choices, Form, Item
from xtune.eval.tasks.choices import TextTask, checked_options
from xtune.eval.tasks.published_task import PublishedTask
from xtune.registry import EVALUATIONS

__all__ = ["WinoGrande"]

_BLANK = "_"


@EVALUATIONS.register_module()
class WinoGrande(TextTask, PublishedTask):
    """Sentences of `dev.jsonl`; see the module and `PublishedTask`."""

    name = "winogrande"
    source = "https://winogrande.allenai.org (winogrande_1.1.zip) or the hub's allenai/winogrande"
    folders = ("winogrande_1.1",)
    parts = {
        "validation": Part("dev.jsonl", "validation", config="winogrande_xl", items=1267),
        "train": Part("train_xl.jsonl", "train", config="winogrande_xl", items=40398),
    }
    metrics = ("acc",)
    ability = "language"

    def item(self, row: Mapping[str, Any], where: str, number: int) -> Item:
        """Return the sentence of a row and what may fill its blank.

        Args: as `PublishedTask.item`.
        """
        sentence = field(row, where, "sentence")
        if _BLANK not in sentence:
            raise damaged(where, f"the sentence has no {_BLANK!r}: {sentence:.60}")
        options = checked_options(
            [field(row, where, "option1"), field(row, where, "option2")], where
        )
        answer = field(row, where, "answer")
        if answer not in ("1", "2"):
            raise damaged(where, f"the answer is {answer!r}, and must be '1' or '2'")
        return Item(
            id=str(row.get("qID") or number),
            question=sentence,
            gold=int(answer) - 1,
            options=options,
            where=where,
        )

    def question(self, item: Item) -> str:
        """Return the sentence up to its blank, filled rightly, as a shot shows it."""
        return self._filled(item, item.gold)

    def answer(self, item: Item) -> str:
        """Return the rest of the sentence; see `QuestionTask`."""
        return item.question.partition(_BLANK)[2].strip()

    def ask(self, item: Item, form: Form) -> Choices:
        """Return a prompt for each option, and the same continuation after each.

        Args: as `Task.ask`.
        """
        prompt = self.prompt(item)
        rest = self.answer(item)
        return Choices(
            tuple(
                Candidate(replace(prompt, question=self._filled(item, option)), rest)
                for option in range(len(item.options))
            )
        )

    def _filled(self, item: Item, option: int) -> str:
        return item.question.partition(_BLANK)[0] + item.options[option]
