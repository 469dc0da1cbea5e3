"""TriviaQA: questions of quiz leagues, without a text to find the answer in.

Form: completion or chat. Shots: 0; or the first of train. Scoring: exact_match with any alias.

Prompt and stop strings are those of lm_eval 0.4.13, with its second question mark ('…??') and its
stop at '.' and ',', which cuts 'Washington, D.C.'; in the chat form only a line break stops.

Source: https://nlp.cs.washington.edu/triviaqa (qa/wikipedia-dev.json, or
unfiltered-web-dev.json), or mandarjoshi/trivia_qa (rc.nocontext) on the hub.
Paper: Joshi et al. 2017, TriviaQA.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xtune.eval.published import Part, damaged, field
from xtune.eval.tasks.base import Item
from xtune.eval.tasks.short_answers import ShortAnswerTask
from xtune.registry import EVALUATIONS

__all__ = ["TriviaQA"]

_DEV = (
    "validation.jsonl",
    "qa/wikipedia-dev.json",
    "wikipedia-dev.json",
    "qa/web-dev.json",
    "unfiltered-web-dev.json",
)


@EVALUATIONS.register_module()
class TriviaQA(ShortAnswerTask):
    """Questions of the validation split; see the module and `ShortAnswerTask`.

    Rows have `question` and `answer` with `value` and `aliases`; the published files have one
    object with `Data`, whose rows have `Question` and `Answer` likewise.
    """

    name = "triviaqa"
    source = "https://nlp.cs.washington.edu/triviaqa or the hub's mandarjoshi/trivia_qa"
    folders = ("trivia_qa", "triviaqa-rc", "triviaqa-unfiltered")
    parts = {
        "validation": Part(_DEV, "validation", config="rc.nocontext"),
        "train": Part(("train.jsonl", "qa/wikipedia-train.json"), "train", config="rc.nocontext"),
    }

    def rows(self, split: str) -> list[Item]:
        """Return the questions of a split; see `PublishedTask`."""
        part = self.parts[split]
        whole = [name for name in part.names() if name.endswith(".json")]
        lines = [name for name in part.names() if name not in whole]
        if self.published.files(*whole) and not self.published.files(*lines):
            return [
                self.item(row, f"{where}: Data[{number}]", number)
                for where, given in self.published.document(*whole)
                for number, row in enumerate(_data(given, where))
            ]
        return super().rows(split)

    def item(self, row: Mapping[str, Any], where: str, number: int) -> Item:
        """Return the question of a row with all its right answers.

        Args: as `PublishedTask.item`.
        """
        answer = field(row, where, "answer", "Answer", kind=dict)
        value = field(answer, where, "value", "Value")
        aliases = [
            each
            for name in ("aliases", "Aliases", "normalized_aliases", "NormalizedAliases")
            for each in answer.get(name) or ()
        ]
        if not all(isinstance(each, str) for each in aliases):
            raise damaged(where, "aliases is a list of texts in this benchmark")
        return Item(
            id=str(row.get("question_id") or row.get("QuestionId") or number),
            question=field(row, where, "question", "Question"),
            gold=list(dict.fromkeys([value, *aliases])),
            where=where,
        )

    def question(self, item: Item) -> str:
        """Return the question, a question mark and 'Answer:'; see `QuestionTask`."""
        return f"Question: {item.question}?\nAnswer:"


def _data(whole: Any, where: str) -> list[Any]:
    rows = whole.get("Data") if isinstance(whole, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise damaged(where, "this file of TriviaQA is one object with a list of objects 'Data'")
    return rows
