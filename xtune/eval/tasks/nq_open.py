"""NQ-open: questions that people asked a search engine, without a text to find the answer in.

Form: completion or chat. Shots: 0; or the first of train (papers have 1, 5 and 64). Scoring:
exact_match with any right answer, articles off. Prompt and stop strings are those of lm_eval
0.4.13; in the chat form only a line break stops.

Source: https://github.com/google-research-datasets/natural-questions (nq_open/NQ-open.dev.jsonl,
Apache-2.0), or google-research-datasets/nq_open on the hub.
Paper: Lee et al. 2019, Latent Retrieval for Weakly Supervised Open Domain Question Answering.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from xtune.eval.metrics.exact_match import no_articles
from xtune.eval.published import Part, damaged, field
from xtune.eval.tasks.base import Item, Prompt
from xtune.eval.tasks.short_answers import ShortAnswerTask
from xtune.registry import EVALUATIONS

__all__ = ["NQOpen"]


@EVALUATIONS.register_module()
class NQOpen(ShortAnswerTask):
    """Questions of `NQ-open.dev.jsonl`; see the module and `ShortAnswerTask`."""

    name = "nq_open"
    source = (
        "https://github.com/google-research-datasets/natural-questions/tree/master/nq_open or the "
        "hub's google-research-datasets/nq_open"
    )
    parts = {
        "validation": Part(
            ("NQ-open.dev.jsonl", "validation.jsonl"), "validation", config="nq_open", items=3610
        ),
        "train": Part(
            ("NQ-open.train.jsonl", "train.jsonl"), "train", config="nq_open", items=87925
        ),
    }

    def fold(self, text: str) -> str:
        """Return a text without articles too; see `ShortAnswerTask`."""
        return no_articles(text)

    def item(self, row: Mapping[str, Any], where: str, number: int) -> Item:
        """Return the question of a row with all its right answers.

        Args: as `PublishedTask.item`.
        """
        answers = field(row, where, "answer", kind=list)
        if not answers or not all(isinstance(each, str) for each in answers):
            raise damaged(where, "answer is a list of texts in this benchmark, one at least")
        return Item(
            id=str(number), question=field(row, where, "question"), gold=answers, where=where
        )

    def prompt(self, item: Item) -> Prompt:
        """Return the prompt, its shots a line apart; see `QuestionTask`."""
        return replace(super().prompt(item), between="\n")

    def description(self, item: Item) -> str:
        """Return what is to be done; see `QuestionTask`."""
        return "Answer these questions:\n\n"

    def question(self, item: Item) -> str:
        """Return the question, a question mark and 'A:'; see `QuestionTask`."""
        return f"Q: {item.question}?\nA:"
