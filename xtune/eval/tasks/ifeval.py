"""IFEval: 541 requests with instructions that a program can check, of 25 kinds.

Form: chat; in the completion form the request stands alone. Shots: none. Scoring: generation.

    prompt_strict, prompt_loose             all instructions of a request are followed
    instruction_strict, instruction_loose   the share of all instructions that are

Loose: one of eight forms of the answer follows, without its first line, its last, and asterisks.
The checks are ours (`xtune.eval.instructions`); sentences and languages are told by rules of our
own, where the authors' come from NLTK and langdetect. Answers are at most 1,280 tokens long.

Source: https://github.com/google-research/google-research
(instruction_following_eval/data/input_data.jsonl, Apache-2.0), or google/IFEval on the hub.
Paper: Zhou et al. 2023, Instruction-Following Evaluation for Large Language Models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xtune.eval.instructions.checks import follows, loose_forms, require_instruction
from xtune.eval.published import Part, damaged, field
from xtune.eval.tasks.base import Item, Prompt, Score
from xtune.eval.tasks.choices import mean
from xtune.eval.tasks.generated import AnsweredTask
from xtune.registry import EVALUATIONS

__all__ = ["IFEval"]


@EVALUATIONS.register_module()
class IFEval(AnsweredTask):
    """Requests of `input_data.jsonl`; see the module.

    Args:
        data_path: a folder, or a hub id; see `published`. None: $XTUNE_EVAL_DATA.
        max_new_tokens: of an answer; None: 1280.
    """

    name = "ifeval"
    source = (
        "https://github.com/google-research/google-research/tree/master/instruction_following_eval"
        " or the hub's google/IFEval"
    )
    folders = ("instruction_following_eval",)
    parts = {"train": Part(("input_data.jsonl", "train.jsonl"), "train", items=541)}
    shots_from = ""
    scoring = "generation"
    headline = "prompt_strict"
    forms = ("chat", "completion")
    usual_tokens = 1280

    def __init__(self, *, data_path: str | None = None, max_new_tokens: int | None = None) -> None:
        super().__init__(data_path=data_path, max_new_tokens=max_new_tokens)

    def item(self, row: Mapping[str, Any], where: str, number: int) -> Item:
        """Return the request of a row with its instructions and their settings.

        Args: as `PublishedTask.item`.
        """
        instructions = field(row, where, "instruction_id_list", kind=list)
        settings = field(row, where, "kwargs", kind=list)
        if len(instructions) != len(settings) or not instructions:
            raise damaged(
                where, f"{len(instructions)} instructions and {len(settings)} kwargs; one each"
            )
        for instruction, given in zip(instructions, settings, strict=True):
            require_instruction(instruction, given, where)
        return Item(
            id=str(row.get("key", number)),
            question=field(row, where, "prompt"),
            gold=instructions,
            where=where,
            fields={"settings": settings},
        )

    def prompt(self, item: Item) -> Prompt:
        """Return the request alone; see `QuestionTask`."""
        return Prompt(item.question)

    def question(self, item: Item) -> str:
        """Return the request; see `QuestionTask`."""
        return item.question

    def answer(self, item: Item) -> str:
        """Return what is asked for; it has no one answer; see `QuestionTask`."""
        return ", ".join(item.gold)

    def worth(self, item: Item, text: str) -> Score:
        """Return the two metrics of a request, and in the notes what was followed.

        Args: as `AnsweredTask.worth`.
        """
        pairs = list(zip(item.gold, item.fields["settings"], strict=True))
        strict = [follows(each, text, given) for each, given in pairs]
        forms = loose_forms(text)
        loose = [any(follows(each, form, given) for form in forms) for each, given in pairs]
        broken = [each for (each, _), kept in zip(pairs, strict, strict=True) if not kept]
        return Score(
            metrics={"prompt_strict": float(all(strict)), "prompt_loose": float(all(loose))},
            got=f"not followed: {', '.join(broken)}" if broken else "all followed",
            expected=self.answer(item),
            unanswered=not text.strip(),
            notes={"strict": strict, "loose": loose},
        )

    def overall(self, items: Sequence[Item], scores: Sequence[Score]) -> dict[str, float]:
        """Return the shares of all instructions too.

        Args: as `Task.overall`.
        """
        found = super().overall(items, scores)
        for name in ("strict", "loose"):
            kept = [float(each) for score in scores for each in score.notes[name]]
            found[f"instruction_{name}"] = mean(kept)
        return found
