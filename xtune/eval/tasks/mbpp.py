r"""MBPP: short programs, each described in a sentence and by three assertions.

Form: completion or chat. Shots: 3, the problems 2, 3 and 4 with their programs. Scoring:
pass_at_k: all assertions of `test_list` hold; programs run in the sandbox (`run_code`), 3 seconds
each. Prompt, shots and stop string are the paper's and lm_eval 0.4.13's: '[BEGIN]', '[DONE]'; an
answer with a fenced block is that block. `mbpp_sanitized` has the problems that the authors checked
by hand, with a wording of their own.

Source: https://github.com/google-research/google-research (mbpp/mbpp.jsonl,
mbpp/sanitized-mbpp.json, CC BY 4.0), or google-research-datasets/mbpp on the hub.
Paper: Austin et al. 2021, Program Synthesis with Large Language Models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar

from xtune.errors import UsageError
from xtune.eval.published import Part, Row, damaged, field
from xtune.eval.run_code import Program
from xtune.eval.tasks.base import Item, Prompt, Shot
from xtune.eval.tasks.programs import ProgramTask, fenced_or_whole
from xtune.registry import EVALUATIONS

__all__ = ["MBPP", "MBPPSanitized"]

# The problems of each split, in the authors' one file
_SPLITS = {
    "test": range(11, 511),
    "validation": range(511, 601),
    "train": range(601, 975),
    "prompt": range(1, 11),
}
_SHOWN = (2, 3, 4)


def _parts(config: str, files: tuple[str, ...], items: tuple[int, ...]) -> dict[str, Part]:
    return {
        split: Part((*files, f"{split}.jsonl"), split, config=config, items=count)
        for split, count in zip(_SPLITS, items, strict=True)
    }


@EVALUATIONS.register_module()
class MBPP(ProgramTask):
    """Problems 11 to 510 of `mbpp.jsonl`; see the module and `ProgramTask`."""

    name = "mbpp"
    source = (
        "https://github.com/google-research/google-research/tree/master/mbpp or the hub's "
        "google-research-datasets/mbpp"
    )
    parts: ClassVar[Mapping[str, Part]] = _parts("full", ("mbpp.jsonl",), (500, 90, 374, 10))
    shots_from = "prompt"
    usual_shots = 3
    usual_tokens = 256
    stop = ("[DONE]",)
    chat_stop = ("[DONE]",)

    def rows(self, split: str) -> list[Item]:
        """Return the problems of a split; see `PublishedTask`."""
        return [
            self.item(row, where, number)
            for number, (where, row) in enumerate(self._rows(split))
            if field(row, where, "task_id", kind=int) in _SPLITS[split]
        ]

    def _rows(self, split: str) -> Iterator[Row]:
        return self.published.rows(self.parts[split])

    def item(self, row: Mapping[str, Any], where: str, number: int) -> Item:
        """Return the problem of a row.

        Args: as `PublishedTask.item`.
        """
        tests = field(row, where, "test_list", kind=list)
        imports = row.get("test_imports") or []
        if not tests or not all(isinstance(each, str) for each in (*tests, *imports)):
            raise damaged(where, "test_list is a list of assertions in this benchmark")
        return Item(
            id=str(row["task_id"]),
            question=field(row, where, "text", "prompt"),
            gold=field(row, where, "code"),
            where=where,
            fields={
                "tests": tests,
                "before": "\n".join([row.get("test_setup_code") or "", *imports]).strip(),
            },
        )

    def prompt(self, item: Item) -> Prompt:
        """Return the prompt; an answer begins on a line of its own; see `QuestionTask`."""
        return replace(super().prompt(item), delimiter="")

    def question(self, item: Item) -> str:
        """Return the task and its first three assertions; see `QuestionTask`."""
        tests = "\n".join(item.fields["tests"][:3])
        return (
            f"You are an expert Python programmer, and here is your task: {item.question} "
            f"Your code should pass these tests:\n\n{tests}\n[BEGIN]\n"
        )

    def answer(self, item: Item) -> str:
        """Return the authors' program; see `QuestionTask`."""
        return f"{item.gold}\n[DONE]"

    def shown(self, item: Item) -> tuple[Shot, ...]:
        """Return the problems 2, 3 and 4; see `PublishedTask`."""
        return self._examples[: self.shots]

    @cached_property
    def _examples(self) -> tuple[Shot, ...]:
        if self.shots == 0:
            return ()
        by_id = {int(one.id): one for one in self.rows("prompt")}
        wanted = (*_SHOWN, *(each for each in sorted(by_id) if each not in _SHOWN))[: self.shots]
        if len(wanted) < self.shots or any(each not in by_id for each in wanted):
            raise UsageError(
                f"{self.name}: shots={self.shots} needs the problems 2, 3 and 4 and further ones "
                f"up to 10; the files have {', '.join(map(str, sorted(by_id))) or 'none of them'}"
            )
        return tuple(Shot(self.question(by_id[i]), self.answer(by_id[i])) for i in wanted)

    def program(self, item: Item, text: str) -> Program:
        """Return the program and the assertions.

        Args: as `ProgramTask.program`.
        """
        tests = "\n".join(item.fields["tests"])
        before = item.fields["before"]
        return Program(fenced_or_whole(text.split("[BEGIN]")[-1]), f"{before}\n{tests}")


@EVALUATIONS.register_module()
class MBPPSanitized(MBPP):
    """The 257 problems 11 to 510 that are in `sanitized-mbpp.json`; see the module."""

    name = "mbpp_sanitized"
    folders = ("mbpp",)
    parts: ClassVar[Mapping[str, Part]] = _parts(
        "sanitized", ("sanitized-mbpp.json",), (257, 43, 120, 7)
    )
