"""AGIEval: entrance and professional exams in English and Chinese, 21 files.

Form: completion or chat. Shots: none; or up to 5 of the authors' few_shot_prompts.csv, without
their explanations. Scoring: option_letter of '(A)', or of 'A' after shots, where one is right;
where several may be (both jec-qa, gaokao-physics, some of gaokao-mathqa), the model writes its
letters, `acc` wants exactly the right ones, and `share` gives a part for some and none with a
wrong one; math and gaokao-mathcloze are written too, and formulas compared once laid out alike.
The prompts are the authors' zero-shot and few-shot ones. lm_eval 0.4.13 has the former, but scores
the whole text of each option and takes any of several right ones: other numbers.

Source: https://github.com/ruixiangcui/AGIEval (data/v1, MIT; the exams belong to their makers).
Paper: Zhong et al. 2023, AGIEval: A Human-Centric Benchmark for Evaluating Foundation Models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from xtune.errors import UsageError
from xtune.eval.extraction import boxed_in, without_thought
from xtune.eval.metrics.math_equal import laid_out
from xtune.eval.published import Part, Published, chosen_subjects, damaged, field
from xtune.eval.tasks.agieval_shots import FILES, read_samples
from xtune.eval.tasks.base import (
    Ask,
    Candidate,
    Choices,
    Form,
    Generation,
    Item,
    Likelihoods,
    Prompt,
    Response,
    Score,
    Shot,
    Task,
    Texts,
)
from xtune.eval.tasks.choices import LETTERS, checked_options, gold_index, mean, score_letters
from xtune.eval.tasks.own_rows import chance_of, score_letter_sets
from xtune.registry import EVALUATIONS

__all__ = ["AGIEval"]

_ENGLISH = (
    *("aqua-rat", "logiqa-en", "lsat-ar", "lsat-lr", "lsat-rc", "math"),
    *("sat-en", "sat-en-without-passage", "sat-math"),
)
_CHINESE = (
    *("gaokao-biology", "gaokao-chemistry", "gaokao-chinese", "gaokao-english"),
    *("gaokao-geography", "gaokao-history", "gaokao-mathcloze", "gaokao-mathqa"),
    *("gaokao-physics", "jec-qa-ca", "jec-qa-kd", "logiqa-zh"),
)
_ASKED_IN_ENGLISH = {*_ENGLISH, "gaokao-english"}
_CLOZE = ("math", "gaokao-mathcloze")
_ROWS = 8269
_SHOWN_IN_ENGLISH = "Here are the answers for the problems in the exam.\n"
_SHOWN_IN_CHINESE = "以下是考试中各个问题的答案。\n"


@EVALUATIONS.register_module()
class AGIEval(Task):
    """Questions of 21 exams; see the module.

    Args:
        data_path: a folder with `aqua-rat.jsonl` and so on, or an id; see `published`.
        subjects: only these files; None: all, each of which must be there.
        shots: examples shown, the same of an exam to each question; None: none.
        max_new_tokens: of an answer in words, in the chat form.

    Raises:
        UsageError: a file is missing, or `few_shot_prompts.csv` has not so many shots of an exam.
    """

    name = "agieval"
    scoring = "option_letter"
    ability = "exam"

    def __init__(
        self,
        *,
        data_path: str | None = None,
        subjects: Sequence[str] | None = None,
        shots: int | None = None,
        max_new_tokens: int = 1024,
    ) -> None:
        self.published = Published(
            self.name, data_path, source="https://github.com/ruixiangcui/AGIEval (data/v1)"
        )
        self.max_new_tokens = max_new_tokens
        known = [*_ENGLISH, *_CHINESE]
        self.parts = {
            name: Part((f"{name}.jsonl", f"v1/{name}.jsonl", f"v1_1/{name}.jsonl"), "test", name)
            for name in known
        }
        looked_for = {name: [part] for name, part in self.parts.items()}
        self.chosen = chosen_subjects(self.name, known, subjects, self.published, looked_for)
        self.shots = shots or 0
        self._shown = {name: self._shots_of(name) for name in self.chosen if self.shots}

    def items(self) -> Sequence[Item]:
        """Return a question a row, file by file; see `Task`."""
        return self._items

    def ask(self, item: Item, form: Form) -> Ask:
        """Return '(A)', '(B)' … as candidates; or an answer in words.

        Args: as `Task.ask`.
        """
        if item.shots:
            english = item.group in _ASKED_IN_ENGLISH
            description = _SHOWN_IN_ENGLISH if english else _SHOWN_IN_CHINESE
            prompt = Prompt(_problem(item, len(item.shots) + 1), description, item.shots)
        else:
            prompt = Prompt(question=_asked(item))
        if isinstance(item.gold, int):
            letters = LETTERS[: len(item.options)]
            written = letters if item.shots else [f"({letter})" for letter in letters]
            return Choices(tuple(Candidate(prompt, each) for each in written))
        if form == "chat":
            return Generation(prompt, max_new_tokens=self.max_new_tokens)
        if item.options:
            return Generation(prompt, ("\n",), 16)
        return Generation(prompt, ("\nQ:", "\n问题", "\nProblem"), 64)

    def score(self, item: Item, response: Response) -> Score:
        """Return 'acc', and 'share' where several options may be right.

        Args: as `Task.score`.
        """
        if isinstance(response, Likelihoods):
            return score_letters(item, response)
        if item.options:
            return score_letter_sets(item, response)
        return _score_formula(item, response)

    def chance(self, items: Sequence[Item]) -> float:
        """Return one of the options, one of their sets, or nothing for a formula; see `Task`."""
        return mean([chance_of(item) for item in items]) if items else 0.0

    def settings(self) -> dict[str, Any]:
        """Return the files and how many rows there are; see `Task`."""
        return {
            "shots": self.shots,
            **({"shots_from": FILES[0]} if self.shots else {}),
            "prompt": "original",
            "subjects": "all" if self._has_all else self.chosen,
            "data": self.published.name(),
            "items": len(self._items),
            "published_items": _ROWS if self._has_all else None,
        }

    def notices(self, items: Sequence[Item], scores: Sequence[Score]) -> list[str]:
        """Say where not all files or rows are there.

        Args: as `Task.notices`.
        """
        if not self._has_all:
            return [f"{len(self.chosen)} of {len(self.parts)} files"]
        part = Part((), "test", items=_ROWS)
        said = self.published.count_notice(len(self._items), {"test": part}, "test")
        return [said] if said else []

    def overall(self, items: Sequence[Item], scores: Sequence[Score]) -> dict[str, float]:
        """Return the mean of the files in English, Chinese and of the Gaokao.

        Args: as `Task.overall`.
        """
        right: dict[str, list[float]] = {}
        for item, score in zip(items, scores, strict=True):
            right.setdefault(item.group, []).append(score.metrics["acc"])
        files = {
            "acc_english": _ENGLISH,
            "acc_chinese": _CHINESE,
            "acc_gaokao": [name for name in _CHINESE if name.startswith("gaokao")],
        }
        means = {
            metric: [mean(right[name]) for name in names if name in right]
            for metric, names in files.items()
        }
        return {metric: mean(values) for metric, values in means.items() if values}

    @property
    def _has_all(self) -> bool:
        return len(self.chosen) == len(self.parts)

    @cached_property
    def _items(self) -> list[Item]:
        made = [
            replace(_item(row, where, name, number), shots=self._shown.get(name, ()))
            for name in self.chosen
            for number, (where, row) in enumerate(self.published.rows(self.parts[name]))
        ]
        if not made:
            raise UsageError(f"agieval: no rows: take them from {self.published.source}")
        return made

    def _shots_of(self, name: str) -> tuple[Shot, ...]:
        exam = name.removesuffix("-without-passage")
        shown = []
        for number, (where, row) in enumerate(read_samples(self.published, exam, self.shots)):
            bare = row if exam == name else {**row, "passage": ""}
            item = _item(bare, where, name, number)
            shown.append(Shot(_problem(item, number + 1), _solution(item)))
        return tuple(shown)


def _item(row: Mapping[str, Any], where: str, name: str, number: int) -> Item:
    passage = row.get("passage") or ""
    question = f"{passage}{field(row, where, 'question')}"
    fields = {"passage": passage, "question": row["question"], "listed": row.get("options") or []}
    label = row.get("label")
    if name in _CLOZE:
        answer = row.get("answer") or label
        if not isinstance(answer, str):
            raise damaged(where, f"the answer is {answer!r}, and must be a text")
        return Item(f"{name}/{number}", question, answer, (), name, where, fields=fields)
    options = _options(field(row, where, "options", kind=list), name, where)
    if isinstance(label, list):
        gold: Any = sorted({gold_index(one, options, where) for one in label})
        if not gold:
            raise damaged(where, "the label is an empty list")
    else:
        gold = gold_index(label, options, where)
    return Item(f"{name}/{number}", question, gold, options, name, where, fields=fields)


def _options(listed: Sequence[object], name: str, where: str) -> tuple[str, ...]:
    """The options; a row that has all of them in one text has as many as its exam gives."""
    if len(listed) == 1:
        return tuple(LETTERS[: 5 if name in _ASKED_IN_ENGLISH else 4])
    return checked_options(listed, where)


def _asked(item: Item) -> str:
    passage, question = item.fields["passage"], item.fields["question"]
    listed = " ".join(item.fields["listed"])
    if item.group in _ASKED_IN_ENGLISH:
        if not item.options:
            return f"{passage}Q: {question}\nA: The answer is"
        last = LETTERS[len(item.options) - 1]
        return (
            f"{passage}Q: {question} Answer Choices: {listed}\n"
            f"A: Among A through {last}, the answer is"
        )
    if not item.options:
        return f"{passage}问题：{question}\n答案："
    last = LETTERS[len(item.options) - 1]
    return f"{passage}问题：{question} 选项：{listed}\n答案：从A到{last}, 我们应选择"


def _problem(item: Item, number: int) -> str:
    """A question as it stands among others, up to its answer."""
    passage, question = item.fields["passage"], item.fields["question"]
    listed = " ".join(item.fields["listed"])
    text = f"   {question}" if item.group in _CLOZE else f"   {passage} {question}"
    if item.group in _ASKED_IN_ENGLISH:
        options = f"Choose from the following options:    {listed}\n" if item.options else ""
        return f"Problem {number}.{text}\n{options}The answer is therefore"
    options = f"从以下选项中选择:    {listed}\n" if item.options else ""
    return f"问题 {number}.{text}\n{options}答案是"


def _solution(item: Item) -> str:
    if isinstance(item.gold, int):
        return LETTERS[item.gold]
    return ", ".join(LETTERS[at] for at in item.gold) if item.options else str(item.gold)


def _score_formula(item: Item, response: Response) -> Score:
    if not isinstance(response, Texts):
        raise TypeError(f"formulas are scored by Texts, not {type(response).__name__}")
    text = without_thought(response.samples[0].text).strip()
    answer = boxed_in(text) or text.partition("\n")[0].strip()
    return Score(
        metrics={"acc": float(laid_out(answer) == laid_out(item.gold))},
        got=answer,
        expected=item.gold,
        unanswered=not answer,
    )
