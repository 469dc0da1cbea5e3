"""MMLU-Pro: 12,032 questions of 14 fields with up to ten options, to be reasoned about.

Form: completion or chat. Shots: 5 with their reasoning, the first of the same field's validation
rows. Scoring: exact_match of the letter that the answer comes to.

    acc     the letter behind the last 'the answer is'; else as `letter_in` reads it
    strict  the letter behind the first 'answer is', and nothing else, as in lm_eval 0.4.13

Prompt, shots and stop string are those of lm_eval 0.4.13; the authors read an answer that has not
the wanted sentence by further rules, as 'acc' does.

Source: TIGER-Lab/MMLU-Pro on the hub (MIT).
Paper: Wang et al. 2024, MMLU-Pro: A More Robust and Challenging Multi-Task Benchmark.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Any

from xtune.errors import UsageError
from xtune.eval.extraction import letter_in
from xtune.eval.published import Part, damaged, field
from xtune.eval.tasks.base import Item, Score, Shot
from xtune.eval.tasks.choices import LETTERS
from xtune.eval.tasks.generated import AnsweredTask
from xtune.registry import EVALUATIONS

__all__ = ["MMLUPro"]

_STRICT = re.compile(r"answer is \(?([ABCDEFGHIJ])\)?")
_MOST = 10


@EVALUATIONS.register_module()
class MMLUPro(AnsweredTask):
    """Questions of the test split, shots of validation; see the module and `GeneratedTask`."""

    name = "mmlu_pro"
    source = "the hub's TIGER-Lab/MMLU-Pro"
    folders = ("MMLU-Pro",)
    parts = {
        "test": Part("test.jsonl", "test", items=12032),
        "validation": Part("validation.jsonl", "validation", items=70),
    }
    shots_from = "validation"
    headline = "acc"
    ability = "exam"
    usual_shots = 5
    usual_tokens = 2048
    stop = ("Question:",)

    def item(self, row: Mapping[str, Any], where: str, number: int) -> Item:
        """Return the question of a row.

        Args: as `PublishedTask.item`.
        """
        options = field(row, where, "options", kind=list)
        if not 2 <= len(options) <= _MOST or not all(isinstance(each, str) for each in options):
            raise damaged(where, f"options is a list of 2 to {_MOST} texts in this benchmark")
        answer = row.get("answer_index")
        if answer is None:
            answer = LETTERS.find(field(row, where, "answer"))
        if not isinstance(answer, int) or not 0 <= answer < len(options):
            raise damaged(where, f"the answer {answer!r} is none of the {len(options)} options")
        return Item(
            id=str(row.get("question_id", number)),
            question=field(row, where, "question"),
            gold=answer,
            options=tuple(options),
            group=field(row, where, "category"),
            where=where,
            fields={"worked": row.get("cot_content") or ""},
        )

    def shown(self, item: Item) -> tuple[Shot, ...]:
        """Return the first rows of the item's own field; see `PublishedTask`."""
        if not self.shots:
            return ()
        shots = self._by_field.get(item.group, [])[: self.shots]
        if len(shots) < self.shots:
            raise UsageError(
                f"mmlu_pro: shots={self.shots}, but validation has {len(shots)} rows of "
                f"{item.group!r}"
            )
        return tuple(shots)

    @cached_property
    def _by_field(self) -> dict[str, list[Shot]]:
        found: dict[str, list[Shot]] = {}
        for one in self.rows("validation"):
            found.setdefault(one.group, []).append(Shot(self.question(one), self.answer(one)))
        return found

    def description(self, item: Item) -> str:
        """Return what is to be done; see `QuestionTask`."""
        return (
            f"The following are multiple choice questions (with answers) about {item.group}. "
            'Think step by step and then finish your answer with "the answer is (X)" where X is '
            "the correct letter choice.\n"
        )

    def question(self, item: Item) -> str:
        """Return the question, its options and the cue of reasoning; see `QuestionTask`."""
        options = "".join(
            f"{LETTERS[at]}. {text.strip()}\n" for at, text in enumerate(item.options)
        )
        return f"Question:\n{item.question}\nOptions:\n{options}Answer: Let's think step by step."

    def answer(self, item: Item) -> str:
        """Return the worked answer; see `QuestionTask`."""
        return str(item.fields["worked"]).replace("A: Let's think step by step. ", "")

    def worth(self, item: Item, text: str) -> Score:
        """Return 'acc' and 'strict'.

        Args: as `AnsweredTask.worth`.
        """
        gold = LETTERS[item.gold]
        got = letter_in(text, LETTERS[: len(item.options)])
        strict = _STRICT.search(text)
        return Score(
            metrics={
                "acc": float(got == gold),
                "strict": float(strict is not None and strict[1] == gold),
            },
            got=got or "",
            expected=gold,
            unanswered=got is None,
        )

    def settings(self) -> dict[str, Any]:
        """Return that shots are of the same field; see `Task`."""
        whose = {"shots_from": "the first of validation of each field"} if self.shots else {}
        return {**super().settings(), **whose}
