"""BIG-Bench Hard: 27 kinds of reasoning, from Boolean expressions to sorting words.

Form: completion or chat. Shots: 3 of each kind, with their reasoning, from the authors' own prompt
files. Scoring: exact_match of what stands behind the last 'the answer is'. The prompt is that of
the authors and of lm_eval 0.4.13 (bbh_cot_fewshot). An answer ends at 'Q:' and at an empty line in
the completion form; lm_eval ends it at any 'Q'. In the chat form the model ends it.

Source: https://github.com/suzgunmirac/BIG-Bench-Hard (bbh/<kind>.json, cot-prompts/<kind>.txt,
MIT). The hub's copies lack the prompts, and are asked with shots=0.
Paper: Suzgun et al. 2022, Challenging BIG-Bench Tasks and Whether Chain-of-Thought Can Solve Them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

from xtune.errors import UsageError
from xtune.eval.published import Part, Published, Row, chosen_subjects, damaged, field
from xtune.eval.tasks.base import Item, Prompt, Score, Shot
from xtune.eval.tasks.generated import AnsweredTask, checked_tokens
from xtune.eval.tasks.published_task import checked_shots
from xtune.registry import EVALUATIONS

__all__ = ["BBH"]

_KINDS = """
boolean_expressions causal_judgement date_understanding disambiguation_qa dyck_languages
formal_fallacies geometric_shapes hyperbaton logical_deduction_five_objects
logical_deduction_seven_objects logical_deduction_three_objects movie_recommendation
multistep_arithmetic_two navigate object_counting penguins_in_a_table
reasoning_about_colored_objects ruin_names salient_translation_error_detection snarks
sports_understanding temporal_sequences tracking_shuffled_objects_five_objects
tracking_shuffled_objects_seven_objects tracking_shuffled_objects_three_objects web_of_lies
word_sorting
"""
KINDS = tuple(_KINDS.split())
_CUE = "A: Let's think step by step.\n"
_ANSWER = re.compile(r"the answer is:?", re.IGNORECASE)


@EVALUATIONS.register_module()
class BBH(AnsweredTask):
    """Questions of 27 kinds, a file each; see the module.

    Args:
        data_path: a folder, or a hub id; see `published`. None: $XTUNE_EVAL_DATA.
        shots: 0 to 3 of the authors'.
        subjects: only these kinds; None: all, each of which must be there.
        max_new_tokens: of an answer; None: 1024.
    """

    name = "bbh"
    source = "https://github.com/suzgunmirac/BIG-Bench-Hard or the hub's lukaemon/bbh"
    folders = ("BIG-Bench-Hard", "big_bench_hard")
    parts: ClassVar[Mapping[str, Part]] = {"test": Part((), "test", items=6511)}
    shots_from = ""
    ability = "reasoning"
    usual_tokens = 1024
    stop = ("</s>", "Q:", "\n\n")

    def __init__(
        self,
        *,
        data_path: str | None = None,
        shots: int = 3,
        subjects: Sequence[str] | None = None,
        max_new_tokens: int | None = None,
    ) -> None:
        self.split = "test"
        self.shots = checked_shots(self.name, shots, "the authors' prompts")
        if shots > 3:
            raise UsageError(f"bbh: shots={shots}; the authors have 3, allowed: 0 to 3")
        self.max_new_tokens = checked_tokens(self.name, max_new_tokens, self.usual_tokens)
        self.published = Published(self.name, data_path, source=self.source, folders=self.folders)
        parts = {kind: [_part(kind)] for kind in KINDS}
        self.chosen = chosen_subjects(self.name, KINDS, subjects, self.published, parts)
        self._of_kind: dict[str, tuple[str, tuple[Shot, ...]]] = {}
        if shots:
            for kind in self.chosen:
                text = self.published.text(f"cot-prompts/{kind}.txt", f"{kind}.txt")
                self._of_kind[kind] = _read_prompt(text, f"cot-prompts/{kind}.txt")

    def rows(self, split: str) -> list[Item]:
        """Return the questions, kind by kind; see `PublishedTask`."""
        return [
            replace(self.item(row, where, number), id=f"{kind}/{number}", group=kind)
            for kind in self.chosen
            for number, (where, row) in enumerate(self._kind_rows(kind))
        ]

    def _kind_rows(self, kind: str) -> Iterator[Row]:
        part = _part(kind)
        if not self.published.files(f"bbh/{kind}.json", f"{kind}.json"):
            yield from self.published.rows(part)
            return
        for where, whole in self.published.document(f"bbh/{kind}.json", f"{kind}.json"):
            rows = whole.get("examples") if isinstance(whole, dict) else None
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise damaged(where, "a file of BBH is one object with a list 'examples'")
            for number, row in enumerate(rows):
                yield f"{where}: examples[{number}]", row

    def item(self, row: Mapping[str, Any], where: str, number: int) -> Item:
        """Return the question of a row.

        Args: as `PublishedTask.item`.
        """
        target = field(row, where, "target")
        return Item(
            id=str(number), question=field(row, where, "input"), gold=target.strip(), where=where
        )

    def shown(self, item: Item) -> tuple[Shot, ...]:
        """Return the authors' examples of the item's kind; see `PublishedTask`."""
        return self._of_kind[item.group][1][: self.shots] if self.shots else ()

    def prompt(self, item: Item) -> Prompt:
        """Return the prompt; reasoning begins on a line of its own; see `QuestionTask`."""
        return replace(super().prompt(item), delimiter="")

    def description(self, item: Item) -> str:
        """Return what the authors say of the kind; see `QuestionTask`."""
        return f"{self._of_kind[item.group][0]}\n\n" if self.shots else ""

    def question(self, item: Item) -> str:
        """Return the question and the cue of reasoning; see `QuestionTask`."""
        return f"Q: {item.question}\n{_CUE}"

    def answer(self, item: Item) -> str:
        """Return the right answer in a sentence; see `QuestionTask`."""
        return f"So the answer is {item.gold}."

    def worth(self, item: Item, text: str) -> Score:
        """Return 'exact_match'.

        Args: as `AnsweredTask.worth`.
        """
        behind = _ANSWER.split(text)
        line = behind[-1].strip().split("\n")[0] if len(behind) > 1 else ""
        got = line.strip("* ").removesuffix(".").strip("* ")
        right = got == item.gold or (got != "" and _bare(got) == _bare(item.gold))
        return Score(
            metrics={"exact_match": float(right)},
            got=got,
            expected=item.gold,
            unanswered=not got,
        )

    def settings(self) -> dict[str, Any]:
        """Return whose shots they are, and the kinds; see `Task`."""
        whose = {"shots_from": "the authors' cot-prompts"} if self.shots else {}
        return {**super().settings(), **whose, "subjects": self._said}

    def notices(self, items: Sequence[Item], scores: Sequence[Score]) -> list[str]:
        """Say where not all kinds are asked.

        Args: as `Task.notices`.
        """
        if self._said == "all":
            return super().notices(items, scores)
        return [f"{len(self.chosen)} of {len(KINDS)} kinds"]

    @cached_property
    def _said(self) -> str | list[str]:
        return "all" if len(self.chosen) == len(KINDS) else self.chosen


def _part(kind: str) -> Part:
    return Part((f"bbh/{kind}.json", f"{kind}.json"), "test", config=kind)


def _bare(answer: str) -> str:
    """An option without its brackets and what stands behind them: '(B) 12/25' is 'b'."""
    option = re.match(r"\(([A-Z])\)", answer)
    return option[1].lower() if option else answer.lower().strip("\"'")


def _read_prompt(text: str, where: str) -> tuple[str, tuple[Shot, ...]]:
    """The description and the examples of one of the authors' files."""
    _, line, body = text.partition("-----\n")
    first, *rest = re.split(r"\n\n(?=Q: )", (body if line else text).strip())
    shots = []
    for example in rest:
        question, cue, answer = example.partition(_CUE)
        if not cue:
            raise damaged(where, f"an example has no line {_CUE.strip()!r}")
        shots.append(Shot(question + cue, answer.strip()))
    if len(shots) < 3:
        raise damaged(where, f"{len(shots)} examples of the 3 that begin with 'Q: '")
    return first.strip(), tuple(shots)
