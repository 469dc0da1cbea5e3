r"""MATH: problems of mathematical competitions, whose answer is a formula.

Form: completion or chat. Shots: the four of Minerva. Scoring: exact_match.

    math_verify  the answer equals the right one: as it is written, or by math-verify
    exact_match  as it is written, once laid out alike

Read is what stands in the last \boxed{}, else behind 'The final answer is'; an answer with neither
is unanswered. Prompt, shots and stop string are those of Minerva and of lm_eval 0.4.13
(minerva_math). `math500` is a part of 500 problems (Lightman et al. 2023).

Source: https://github.com/hendrycks/math (MATH.tar: test/<subject>/<n>.json), or
EleutherAI/hendrycks_math; HuggingFaceH4/MATH-500 (test.jsonl).
Paper: Hendrycks et al. 2021; Lewkowycz et al. 2022, Minerva (shots: appendix D).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from xtune.errors import UsageError
from xtune.eval.extraction import boxed_in, final_answer_in
from xtune.eval.metrics.math_equal import equal_by_math_verify, laid_out
from xtune.eval.published import Part, Published, Row, chosen_subjects, damaged, field
from xtune.eval.tasks.base import Item, Score, Shot
from xtune.eval.tasks.generated import AnsweredTask, checked_tokens
from xtune.eval.tasks.published_task import checked_shots
from xtune.registry import EVALUATIONS

__all__ = ["MATH", "MATH500"]

SUBJECTS = (
    "algebra",
    "counting_and_probability",
    "geometry",
    "intermediate_algebra",
    "number_theory",
    "prealgebra",
    "precalculus",
)
_SHOTS = (
    (
        r"Find the domain of the expression  $\frac{\sqrt{x-2}}{\sqrt{5-x}}$.",
        r"The expressions inside each square root must be non-negative. Therefore, $x-2 \ge 0$, "
        r"so $x\ge2$, and $5 - x \ge 0$, so $x \le 5$. Also, the denominator cannot be equal to "
        r"zero, so $5-x>0$, which gives $x<5$. Therefore, the domain of the expression is "
        r"$\boxed{[2,5)}$.",
        "$[2,5)$",
    ),
    (
        r"If $\det \mathbf{A} = 2$ and $\det \mathbf{B} = 12,$ then find "
        r"$\det (\mathbf{A} \mathbf{B}).$",
        r"We have that $\det (\mathbf{A} \mathbf{B}) = (\det \mathbf{A})(\det \mathbf{B}) = "
        r"(2)(12) = \boxed{24}.$",
        "$24$",
    ),
    (
        "Terrell usually lifts two 20-pound weights 12 times. If he uses two 15-pound weights "
        "instead, how many times must Terrell lift them in order to lift the same total weight?",
        "If Terrell lifts two 20-pound weights 12 times, he lifts a total of "
        "$2\\cdot 12\\cdot20=480$ pounds of weight.  If he lifts two 15-pound weights instead for "
        "$n$ times, he will lift a total of $2\\cdot15\\cdot n=30n$ pounds of weight.  Equating "
        "this to 480 pounds, we can solve for $n$:\n\\begin{align*}\n30n&=480\\\\\n\\Rightarrow"
        "\\qquad n&=480/30=\\boxed{16}\n\\end{align*}",
        "$16$",
    ),
    (
        "If the system of equations\n\n\\begin{align*}\n6x-4y&=a,\\\\\n6y-9x &=b.\n\\end{align*}"
        "has a solution $(x, y)$ where $x$ and $y$ are both nonzero,\nfind $\\frac{a}{b},$ "
        "assuming $b$ is nonzero.",
        "If we multiply the first equation by $-\\frac{3}{2}$, we obtain\n\n"
        "$$6y-9x=-\\frac{3}{2}a.$$Since we also know that $6y-9x=b$, we have\n\n"
        "$$-\\frac{3}{2}a=b\\Rightarrow\\frac{a}{b}=\\boxed{-\\frac{2}{3}}.$$",
        "$-\\frac{2}{3}$",
    ),
)


@EVALUATIONS.register_module()
class MATH(AnsweredTask):
    """Problems of seven subjects, a file each; see the module.

    Args:
        data_path: a folder, or a hub id; see `published`. None: $XTUNE_EVAL_DATA.
        shots: 0 to 4 of Minerva's.
        subjects: only these; None: all, each of which must be there.
        max_new_tokens: of an answer; None: 1024.
    """

    name = "math"
    source = "https://github.com/hendrycks/math or the hub's EleutherAI/hendrycks_math"
    folders: ClassVar[tuple[str, ...]] = ("MATH", "hendrycks_math")
    parts: ClassVar[Mapping[str, Part]] = {"test": Part((), "test", items=5000)}
    shots_from = ""
    headline = "math_verify"
    ability = "reasoning"
    usual_shots = 4
    usual_tokens = 1024
    stop = ("Problem:",)

    def __init__(
        self,
        *,
        data_path: str | None = None,
        shots: int = 4,
        subjects: Sequence[str] | None = None,
        max_new_tokens: int | None = None,
    ) -> None:
        self.split = "test"
        self.shots = _at_most_four(self.name, shots)
        self.max_new_tokens = checked_tokens(self.name, max_new_tokens, self.usual_tokens)
        self.published = Published(self.name, data_path, source=self.source, folders=self.folders)
        parts = {each: [self._part(each)] for each in SUBJECTS}
        self.chosen = chosen_subjects(self.name, SUBJECTS, subjects, self.published, parts)

    def rows(self, split: str) -> list[Item]:
        """Return the problems, subject by subject; see `PublishedTask`."""
        return [
            self.item(row, where, number)
            for subject in self.chosen
            for number, (where, row) in enumerate(self._subject_rows(subject))
        ]

    def _part(self, subject: str) -> Part:
        names = (f"test/{subject}/*.json", f"test/{subject}.jsonl")
        return Part(names, "test", config=subject)

    def _subject_rows(self, subject: str) -> Iterator[Row]:
        for where, row in self.published.rows(self._part(subject)):
            yield where, {"subject": subject} | row

    def item(self, row: Mapping[str, Any], where: str, number: int) -> Item:
        """Return the problem of a row; its gold is what its solution has in the box.

        Args: as `PublishedTask.item`.
        """
        solution = field(row, where, "solution")
        gold = row.get("answer") or boxed_in(solution)
        if not isinstance(gold, str):
            raise damaged(where, "the solution has no \\boxed{} answer")
        group = str(row.get("subject") or row.get("type") or "")
        group = group.lower().replace("&", "and").replace(" ", "_")
        return Item(
            id=f"{group}/{number}" if group else str(number),
            question=field(row, where, "problem"),
            gold=gold,
            group=group,
            where=where,
            fields={"level": row.get("level")},
        )

    def shown(self, item: Item) -> tuple[Shot, ...]:
        """Return Minerva's; see `PublishedTask`."""
        return tuple(
            Shot(
                _question(problem),
                f"{solution}\nFinal Answer: The final answer is {answer}. I hope it is correct.",
            )
            for problem, solution, answer in _SHOTS[: self.shots]
        )

    def question(self, item: Item) -> str:
        """Return the problem and 'Solution:'; see `QuestionTask`."""
        return _question(item.question)

    def answer(self, item: Item) -> str:
        """Return the right formula; see `QuestionTask`."""
        return str(item.gold)

    def worth(self, item: Item, text: str) -> Score:
        """Return 'math_verify' and 'exact_match'.

        Args: as `AnsweredTask.worth`.
        """
        got = boxed_in(text) or final_answer_in(text)
        same = got is not None and laid_out(got) == laid_out(item.gold)
        equal = same or (got is not None and equal_by_math_verify(got.strip("$"), item.gold))
        return Score(
            metrics={"math_verify": float(equal), "exact_match": float(same)},
            got=got or "",
            expected=item.gold,
            unanswered=got is None,
        )

    def settings(self) -> dict[str, Any]:
        """Return whose shots they are, and the subjects; see `Task`."""
        chosen = "all" if len(self.chosen) == len(SUBJECTS) else self.chosen
        whose = {"shots_from": "Minerva's"} if self.shots else {}
        return {**super().settings(), **whose, "subjects": chosen}

    def notices(self, items: Sequence[Item], scores: Sequence[Score]) -> list[str]:
        """Say where not all subjects are asked.

        Args: as `Task.notices`.
        """
        if len(self.chosen) == len(SUBJECTS):
            return super().notices(items, scores)
        return [f"{len(self.chosen)} of {len(SUBJECTS)} subjects"]


@EVALUATIONS.register_module()
class MATH500(MATH):
    """500 problems of MATH in one file, `test.jsonl`; see the module and `MATH`.

    Args:
        data_path: a folder, or a hub id; see `published`. None: $XTUNE_EVAL_DATA.
        shots: 0 to 4 of Minerva's.
        max_new_tokens: of an answer; None: 1024.
    """

    name = "math500"
    source = "the hub's HuggingFaceH4/MATH-500"
    folders: ClassVar[tuple[str, ...]] = ("MATH-500",)
    parts: ClassVar[Mapping[str, Part]] = {"test": Part("test.jsonl", "test", items=500)}

    def __init__(
        self, *, data_path: str | None = None, shots: int = 4, max_new_tokens: int | None = None
    ) -> None:
        self.split = "test"
        self.shots = _at_most_four(self.name, shots)
        self.max_new_tokens = checked_tokens(self.name, max_new_tokens, self.usual_tokens)
        self.published = Published(self.name, data_path, source=self.source, folders=self.folders)
        self.published.require(self.parts["test"])
        self.chosen = list(SUBJECTS)

    def rows(self, split: str) -> list[Item]:
        """Return the problems of the file; see `PublishedTask`."""
        rows = self.published.rows(self.parts[split])
        return [self.item(row, where, number) for number, (where, row) in enumerate(rows)]


def _question(problem: str) -> str:
    return f"Problem:\n{problem}\n\nSolution:"


def _at_most_four(task: str, shots: int) -> int:
    if checked_shots(task, shots, "Minerva") > len(_SHOTS):
        raise UsageError(f"{task}: shots={shots}; Minerva has 4, allowed: 0 to 4")
    return shots
