"""Tasks that ask for programs and run them against tests: HumanEval, MBPP."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, ClassVar

from xtune.errors import UsageError
from xtune.eval.extraction import code_in, without_thought
from xtune.eval.metrics.pass_at_k import pass_at_k, require_samples
from xtune.eval.run_code import Program, require_permission, run_programs
from xtune.eval.tasks.base import Form, Generation, Item, Response, Score
from xtune.eval.tasks.generated import GeneratedTask, answer_notes, texts_of

__all__ = ["ProgramTask", "fenced_or_whole"]


class ProgramTask(GeneratedTask):
    """Programs that a model writes, each right if it passes the item's tests; pass@k of them.

    Args:
        run_code: programs are run, in the sandbox, only where this is True.
        data_path: a folder, or a hub id; see `published`. None: $XTUNE_EVAL_DATA.
        split: which rows are asked about; None: the usual one.
        shots: rows that are shown first; None: as many as is usual.
        samples: programs that are written for each item.
        k: of pass@k, each at most `samples`.
        temperature: of the samples; None: 0 for one, 0.2 where k is 1, else 0.8, as in the paper.
        top_p: sample among the likeliest tokens that together have this probability.
        max_new_tokens: of a program; None: as many as is usual.
        seconds: that a program may run.
    """

    scoring: ClassVar[str] = "pass_at_k"
    headline: ClassVar[str] = "pass@1"
    ability: ClassVar[str | None] = "reasoning"

    def __init__(
        self,
        *,
        run_code: bool = False,
        data_path: str | None = None,
        split: str | None = None,
        shots: int | None = None,
        samples: int = 1,
        k: Sequence[int] = (1,),
        temperature: float | None = None,
        top_p: float = 0.95,
        max_new_tokens: int | None = None,
        seconds: float = 3.0,
    ) -> None:
        require_permission(self.name, run_code)
        self.k = sorted({1, *k})
        require_samples(samples, self.k[-1])
        if temperature is None:
            temperature = 0.0 if samples == 1 else 0.2 if self.k[-1] == 1 else 0.8
        if samples > 1 and temperature == 0:
            raise UsageError(
                f"{self.name}: {samples} samples at temperature 0 are one and the same; give a "
                "temperature, 0.2 for pass@1 and 0.8 for pass@10 or more"
            )
        super().__init__(
            data_path=data_path, split=split, shots=shots, max_new_tokens=max_new_tokens
        )
        self.samples, self.temperature, self.seconds = samples, temperature, seconds
        self.top_p = top_p if temperature else 1.0

    @abstractmethod
    def program(self, item: Item, text: str) -> Program:
        """Return what is run of an answer, with the item's tests.

        Args:
            item: which was asked about.
            text: of the answer.
        """

    def ask(self, item: Item, form: Form) -> Generation:
        """Return the prompt and how many programs.

        Args: as `Task.ask`.
        """
        return replace(
            super().ask(item, form),
            samples=self.samples,
            temperature=self.temperature,
            top_p=self.top_p,
        )

    def score(self, item: Item, response: Response) -> Score:
        """Return 'pass@k' for each k.

        Args: as `Task.score`.
        """
        answers = texts_of(response)
        texts = [without_thought(each.text) for each in answers]
        verdicts = run_programs([self.program(item, each) for each in texts], seconds=self.seconds)
        right = sum(verdict.passed for verdict in verdicts)
        failed = next((each.said for each in verdicts if not each.passed), "")
        return Score(
            metrics={f"pass@{k}": pass_at_k(len(texts), right, k) for k in self.k},
            got="passed" if not failed else failed.splitlines()[-1],
            expected="passed",
            unanswered=not any(each.strip() for each in texts),
            notes={
                "passed": [verdict.passed for verdict in verdicts],
                "said": failed,
                **answer_notes(answers),
            },
        )

    def settings(self) -> dict[str, Any]:
        """Return how programs are drawn and run; see `Task`."""
        return {
            **super().settings(),
            "samples": self.samples,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seconds": self.seconds,
        }


def fenced_or_whole(text: str) -> str:
    """Return the program of an answer: its fenced block, or the whole answer without one."""
    fenced = code_in(text)
    return text if fenced is None else fenced
