"""GSM8K: word problems of grade school, whose answer is a whole number.

Form: completion or chat. Shots: 5, the first of train with their worked answers (lm_eval 0.4.13
draws other five for each question). Scoring: exact_match.

    exact_match  the last number of the answer is the right one ('flexible' in lm_eval)
    strict       the number behind '#### ', as the shots have it; without shots nobody writes that

Prompt and stop strings are those of lm_eval 0.4.13: 'Question: …', 'Answer:'; in the chat form
nothing stops an answer but its end, for the word 'Question:' may stand in one.

Source: https://github.com/openai/grade-school-math (grade_school_math/data, MIT), or openai/gsm8k.
Paper: Cobbe et al. 2021, Training Verifiers to Solve Math Word Problems.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from xtune.eval.extraction import last_number
from xtune.eval.metrics.exact_match import plain_number, same_number
from xtune.eval.published import Part, damaged, field
from xtune.eval.tasks.base import Item, Score
from xtune.eval.tasks.generated import AnsweredTask
from xtune.registry import EVALUATIONS

__all__ = ["GSM8K"]

_STRICT = re.compile(r"#### (-?[0-9.,]+)")


@EVALUATIONS.register_module()
class GSM8K(AnsweredTask):
    """Questions of `test.jsonl`, shots of `train.jsonl`; see the module and `GeneratedTask`."""

    name = "gsm8k"
    source = "https://github.com/openai/grade-school-math or the hub's openai/gsm8k"
    folders = ("grade_school_math", "grade-school-math")
    parts = {
        "test": Part("test.jsonl", "test", config="main", items=1319),
        "train": Part("train.jsonl", "train", config="main", items=7473),
    }
    ability = "reasoning"
    usual_shots = 5
    usual_tokens = 512
    stop = ("Question:", "</s>", "<|im_end|>")

    def item(self, row: Mapping[str, Any], where: str, number: int) -> Item:
        """Return the question of a row; its gold is the number behind '####'.

        Args: as `PublishedTask.item`.
        """
        answer = field(row, where, "answer")
        found = _STRICT.search(answer)
        if found is None:
            raise damaged(where, "the answer has no '#### number' at its end")
        return Item(
            id=str(number),
            question=field(row, where, "question"),
            gold=plain_number(found[1]),
            where=where,
            fields={"worked": answer},
        )

    def question(self, item: Item) -> str:
        """Return the question and 'Answer:'; see `QuestionTask`."""
        return f"Question: {item.question}\nAnswer:"

    def answer(self, item: Item) -> str:
        """Return the worked answer; see `QuestionTask`."""
        return str(item.fields["worked"])

    def worth(self, item: Item, text: str) -> Score:
        """Return 'exact_match' by the last number, and 'strict'.

        Args: as `AnsweredTask.worth`.
        """
        got = last_number(text)
        strict = _STRICT.search(text)
        return Score(
            metrics={
                "exact_match": float(got is not None and same_number(got, item.gold)),
                "strict": float(strict is not None and same_number(strict[1], item.gold)),
            },
            got=got or "",
            expected=item.gold,
            unanswered=got is None,
        )
