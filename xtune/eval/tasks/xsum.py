"""XSum: articles of the BBC, each to be summed up in one sentence.

Form: completion or chat. Shots: 0. Scoring: generation.

    rouge1, rouge2, rougeL   F1 of words, runs of two, and the longest common sequence
    distinct-1, distinct-2   how varied the answers are, over all of them
    bleu                     of all answers together, 0 to 100, by sacrebleu, with bleu=True

The first line of the answer counts. The prompt is OpenCompass'; its headline is ROUGE-1.

Source: https://github.com/EdinburghNLP/XSum, or EdinburghNLP/xsum on the hub.
Paper: Narayan et al. 2018, Don't Give Me the Details, Just the Summary!
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xtune.eval.metrics.bleu import bleu_signature, corpus_bleu, require_bleu
from xtune.eval.metrics.overlap import rouge_l, rouge_n
from xtune.eval.metrics.variety import distinct
from xtune.eval.metrics.words import words_of
from xtune.eval.published import Part, field
from xtune.eval.tasks.base import Item, Score
from xtune.eval.tasks.generated import AnsweredTask
from xtune.registry import EVALUATIONS

__all__ = ["XSum"]


@EVALUATIONS.register_module()
class XSum(AnsweredTask):
    """Articles of the test split; see the module and `GeneratedTask`.

    Rows have `document` and `summary` (OpenCompass' files: `dialogue`).

    Args:
        bleu: BLEU too, whose signature stands in the settings.
        **given: data_path, split, shots and max_new_tokens, as those of `GeneratedTask`.

    Raises:
        UsageError: `bleu`, and sacrebleu is not installed.
    """

    name = "xsum"
    source = "the hub's EdinburghNLP/xsum"
    parts = {
        "test": Part("test.jsonl", "test", items=11334),
        "validation": Part(("validation.jsonl", "dev.jsonl"), "validation", items=11332),
        "train": Part("train.jsonl", "train", items=204045),
    }
    scoring = "generation"
    headline = "rouge1"
    ability = "understanding"
    usual_tokens = 64
    stop = ("\n\n", "Document：")

    def __init__(self, *, bleu: bool = False, **given: Any) -> None:
        if bleu:
            require_bleu()
        self.bleu = bleu
        super().__init__(**given)

    def item(self, row: Mapping[str, Any], where: str, number: int) -> Item:
        """Return the article of a row.

        Args: as `PublishedTask.item`.
        """
        return Item(
            id=str(row.get("id", number)),
            question=field(row, where, "document", "dialogue"),
            gold=field(row, where, "summary"),
            where=where,
        )

    def question(self, item: Item) -> str:
        """Return the article and the request; see `QuestionTask`."""
        return (
            f"Document：{item.question}\n"
            "Based on the previous text, provide a brief single summary:"
        )

    def answer(self, item: Item) -> str:
        """Return the summary; see `QuestionTask`."""
        return str(item.gold)

    def worth(self, item: Item, text: str) -> Score:
        """Return the three measures.

        Args: as `AnsweredTask.worth`.
        """
        said = text.strip().split("\n")[0].strip()
        ours, theirs = words_of(said), words_of(item.gold)
        return Score(
            metrics={
                "rouge1": rouge_n(ours, theirs, 1).f1,
                "rouge2": rouge_n(ours, theirs, 2).f1,
                "rougeL": rouge_l(ours, theirs).f1,
            },
            got=said,
            expected=item.gold,
            unanswered=not ours,
        )

    def overall(self, items: Sequence[Item], scores: Sequence[Score]) -> dict[str, float]:
        """Return how varied the answers are, too, and BLEU where it is asked for.

        Args: as `Task.overall`.
        """
        found = super().overall(items, scores)
        words = [words_of(score.got) for score in scores]
        varied = {f"distinct-{n}": distinct(words, n) for n in (1, 2)}
        if self.bleu and scores:
            answers = [score.got for score in scores]
            found["bleu"], _ = corpus_bleu(answers, [[item.gold] for item in items])
        return found | varied

    def settings(self) -> dict[str, Any]:
        """Return which BLEU it is, too; see `Task`."""
        if not self.bleu:
            return super().settings()
        signature = bleu_signature([item.gold for item in self.items()])
        return {**super().settings(), "bleu": signature}
