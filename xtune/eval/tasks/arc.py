"""ARC: science questions of American schools, in an easy and a challenge set; 3 to 5 options.

Form: completion or chat. Shots: 0; the leaderboard of 2023 took 25. Scoring: option_text, the
headline per character. Prompt and numbers are those of lm_eval 0.4.13. Asked by letters, as some
papers do, the same questions give numbers that are 15 points higher: that is another test.

Source: https://allenai.org/data/arc (ARC-V1-Feb2018-2.zip, CC BY-SA 4.0), or allenai/ai2_arc.
Paper: Clark et al. 2018, Think you have Solved Question Answering?
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xtune.eval.published import Part, damaged, field
from xtune.eval.tasks.base import Item
from xtune.eval.tasks.choices import TextTask, checked_options
from xtune.eval.tasks.published_task import PublishedTask
from xtune.registry import EVALUATIONS

__all__ = ["ARCChallenge", "ARCEasy"]


def _parts(which: str, test: int, validation: int, train: int) -> dict[str, Part]:
    def part(split: str, file: str, items: int) -> Part:
        name = f"{which}-{file}.jsonl"
        return Part((name, f"{which}/{name}"), split, config=which, items=items)

    return {
        "test": part("test", "Test", test),
        "validation": part("validation", "Dev", validation),
        "train": part("train", "Train", train),
    }


class _ARC(TextTask, PublishedTask):
    source = "https://allenai.org/data/arc (ARC-V1-Feb2018-2.zip) or the hub's allenai/ai2_arc"
    folders = ("arc", "ai2_arc", "ARC-V1-Feb2018-2")
    headline = "acc_norm"
    ability = "exam"

    def item(self, row: Mapping[str, Any], where: str, number: int) -> Item:
        """Return the question of a row, nested as published or flat as on the hub."""
        asked = field(row, where, "question", kind=object)
        if isinstance(asked, Mapping):
            question = field(asked, where, "stem")
            pairs = field(asked, where, "choices", kind=list)
            texts = [field(pair, where, "text") for pair in pairs]
            labels = [field(pair, where, "label") for pair in pairs]
        else:
            question = field(row, where, "question")
            choices = field(row, where, "choices", kind=dict)
            texts = list(field(choices, where, "text", kind=list))
            labels = list(field(choices, where, "label", kind=list))
        options = checked_options(texts, where)
        key = field(row, where, "answerKey")
        if len(labels) != len(options) or key not in labels:
            raise damaged(where, f"the answer is {key!r}, and the options are {', '.join(labels)}")
        return Item(
            id=str(row.get("id") or number),
            question=question,
            gold=labels.index(key),
            options=options,
            where=where,
        )

    def question(self, item: Item) -> str:
        """Return 'Question: … Answer:'; see `QuestionTask`."""
        return f"Question: {item.question}\nAnswer:"


@EVALUATIONS.register_module()
class ARCEasy(_ARC):
    """ARC's easy set, `ARC-Easy-Test.jsonl`; see the module and `PublishedTask`."""

    name = "arc_easy"
    parts = _parts("ARC-Easy", 2376, 570, 2251)


@EVALUATIONS.register_module()
class ARCChallenge(_ARC):
    """ARC's challenge set, `ARC-Challenge-Test.jsonl`; see the module and `PublishedTask`."""

    name = "arc_challenge"
    parts = _parts("ARC-Challenge", 1172, 299, 1119)
