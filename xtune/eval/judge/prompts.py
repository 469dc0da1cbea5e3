"""What a judge is asked, as data: our own prompts.json, or a user's file in one of its forms.

    llm3s, FastChat of 2023   prompt_id, system_prompt, prompt_template, defaults.prompt, category
    FastChat of today         name, type, system_prompt, prompt_template, category, output_format
    ColossalEval's battle     id, system_prompt, prompt_template, prompt

Templates are filled in one pass, so that an answer that says '{answer_2}' stays as it is.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from xtune.errors import DataError, UsageError, did_you_mean
from xtune.eval.judge.answers import Item
from xtune.eval.judge.forms import FORMS

__all__ = ["JUDGEMENTS", "JudgePrompt", "choose_prompt", "load_prompts"]

JUDGEMENTS: dict[str, tuple[str, ...]] = {  # what is asked for -> the forms of its verdicts
    "scores": ("a b", "(a, b)"),
    "winner": ("[[A]]",),
    "rating": ("[[rating]]",),
}
_PLACE = re.compile(r"\{([a-z_][a-z0-9_]*)\}")
_PAIR = {
    *("question", "answer_1", "answer_2", "answer_a", "answer_b", "prompt", "mark", "reference"),
    *("question_1", "question_2", "answer_a_1", "answer_a_2", "answer_b_1", "answer_b_2"),
    *("ref_answer_1", "ref_answer_2"),
}
_SINGLE = {
    *("question", "answer", "prompt", "mark", "reference", "question_1", "question_2"),
    *("answer_1", "answer_2", "ref_answer_1", "ref_answer_2"),
}
_WITH_REFERENCES = ("math", "reasoning", "coding")  # as FastChat has them


@dataclass(frozen=True, slots=True)
class JudgePrompt:
    """One prompt of a judge.

    Attributes:
        id: for the record.
        system: the system message; '' for none.
        template: of the user's message.
        instruction: what `{prompt}` stands for.
        category: general, math or coding, or what a user's file says.
        form: of the verdict, one of FORMS.
        language: 'en' or 'zh'; '' for every question.
    """

    id: str
    system: str
    template: str
    instruction: str
    category: str
    form: str
    language: str = ""

    @property
    def has_reference(self) -> bool:
        """Whether it shows the right answer to the judge."""
        return "{reference}" in self.template or "{ref_answer_1}" in self.template

    @property
    def turns(self) -> int:
        """Turns of the dialogue that it shows apart: 2 with FastChat's `{question_2}`, else 1."""
        return 2 if "{question_2}" in self.template else 1

    @property
    def judgement(self) -> str:
        """What it asks for: scores, winner or rating."""
        return next(name for name, forms in JUDGEMENTS.items() if self.form in forms)

    @property
    def hash(self) -> str:
        """16 hex digits over all that goes into what a judge is asked."""
        text = "\0".join((self.system, self.template, self.instruction, self.form))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def fill(self, first: Item, second: Item | None = None) -> list[dict[str, str]]:
        """Return the messages for a judge.

        Args:
            first: the answer that it sees first, or the only one.
            second: the other answer to the same question.
        """
        values = {
            "question": first.question,
            "prompt": self.instruction,
            "reference": first.reference,
        }
        for turn in (1, 2):
            values[f"question_{turn}"] = _at(first.questions, turn)
            values[f"ref_answer_{turn}"] = _at(first.references, turn)
            if second is None:
                values[f"answer_{turn}"] = _at(first.answers, turn)
            else:
                values[f"answer_a_{turn}"] = _at(first.answers, turn)
                values[f"answer_b_{turn}"] = _at(second.answers, turn)
        if second is None:
            values["answer"] = first.answer
        else:
            values["answer_1"] = values["answer_a"] = first.answer
            values["answer_2"] = values["answer_b"] = second.answer
        values["mark"] = _mark(values)
        text = _PLACE.sub(lambda found: values[found[1]], self.template)
        messages = [{"role": "user", "content": text}]
        if self.system:
            messages.insert(0, {"role": "system", "content": self.system})
        return messages


def load_prompts(
    path: str | None, judgement: str | None, files_of_answers: int
) -> list[JudgePrompt]:
    """Return the prompts to judge with.

    Args:
        path: a user's file; None for ours.
        judgement: scores, winner or rating; None: rating for one file of answers, and for several
            scores, or whichever of the two a user's file asks for.
        files_of_answers: how many there are.

    Raises:
        UsageError: the file is not there or asks for nothing of this kind, or one file of answers
            is to be compared with itself.
        DataError: it is damaged, or a prompt in it cannot be used.
    """
    if files_of_answers == 1 and judgement in ("scores", "winner"):
        raise UsageError(f"--ask {judgement} compares two answers: give two files of answers")
    prompts = _ours() if path is None else _read(path)
    if judgement is None:
        there = {prompt.judgement for prompt in prompts}
        order = ("rating",) if files_of_answers == 1 else ("scores", "winner", "rating")
        judgement = next((name for name in order if name in there), order[0])
    chosen = [prompt for prompt in prompts if prompt.judgement == judgement]
    if not chosen:
        raise UsageError(
            f"{path} asks for {', '.join(sorted({p.judgement for p in prompts}))}, not for "
            f"{judgement}; a {judgement} prompt has the output_format "
            f"{' or '.join(map(repr, JUDGEMENTS[judgement]))}"
        )
    return chosen


def choose_prompt(prompts: Sequence[JudgePrompt], item: Item) -> JudgePrompt:
    """Return the prompt for a question: by language, turns, reference and category, in this order.

    Args:
        prompts: all of one judgement.
        item: the question, and whether a right answer is known.

    Raises:
        UsageError: every prompt shows a right answer, and none is known.
    """
    language = _language(item.question)
    left = [p for p in prompts if p.language in ("", language)] or list(prompts)
    turns = 2 if len(item.questions) == 2 else 1
    left = [p for p in left if p.turns == turns] or [p for p in left if p.turns == 1]
    plain = [p for p in left if not p.has_reference]
    if item.reference:
        shown = [p for p in left if p.has_reference]
        fitting = [p for p in shown if p.category == item.kind]
        if not fitting and (item.kind != "general" or item.category.lower() in _WITH_REFERENCES):
            fitting = shown
        if fitting:
            return fitting[0]
    for category in (item.kind, item.category.lower(), "general"):
        for prompt in plain:
            if prompt.category == category:
                return prompt
    if plain:
        return plain[0]
    raise UsageError(
        f"no prompt fits {item.where}: all of them show a right answer and this row has none. "
        "Give --references FILE, or a prompt without {reference}"
    )


def _ours() -> list[JudgePrompt]:
    text = files("xtune.eval.judge").joinpath("prompts.json").read_text(encoding="utf-8")
    return [_prompt(row, f"prompts.json row {at}") for at, row in enumerate(json.loads(text), 1)]


def _read(path: str) -> list[JudgePrompt]:
    file = Path(path).expanduser()
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(f"--prompts {path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"--prompts {path} is not UTF-8") from error
    rows: Any
    try:
        rows = json.loads(text)
    except ValueError:
        try:
            rows = [json.loads(line) for line in text.split("\n") if line.strip()]
        except ValueError as error:
            raise DataError(
                f"--prompts {path} is no JSON, nor a JSON object a line: {error}"
            ) from error
    rows = rows if isinstance(rows, list) else [rows]
    if not rows:
        raise DataError(f"--prompts {path} has no prompts")
    return [_prompt(row, f"{path} prompt {at}") for at, row in enumerate(rows, 1)]


def _prompt(row: Any, where: str) -> JudgePrompt:
    """Read one prompt, of any of the three forms."""
    if not isinstance(row, Mapping) or not isinstance(row.get("prompt_template"), str):
        raise DataError(f"{where}: a prompt is an object with a prompt_template, a text")
    defaults = row.get("defaults")
    instruction = row.get("prompt") or (
        defaults.get("prompt") if isinstance(defaults, Mapping) else ""
    )
    category = str(row.get("category") or "general").lower()
    single = row.get("type") == "single" or row.get("output_format") == "[[rating]]"
    usual = "[[rating]]" if single else "(a, b)" if category == "math" else "a b"
    form = str(row.get("output_format") or usual)
    if form not in FORMS:
        raise DataError(
            f"{where}: output_format {form!r} is unknown{did_you_mean(form, FORMS)}; there are "
            f"{', '.join(map(repr, FORMS))}"
        )
    template = row["prompt_template"]
    named = set(_PLACE.findall(template))
    allowed = _SINGLE if single else _PAIR
    if unknown := sorted(named - allowed):
        raise DataError(
            f"{where}: nothing is known that {{{unknown[0]}}} could stand for; there are "
            f"{', '.join(sorted(allowed))}"
        )
    needed = (
        [{"answer", "answer_2"}]
        if single
        else [{"answer_1", "answer_a", "answer_a_2"}, {"answer_2", "answer_b", "answer_b_2"}]
    )
    for any_of in needed:
        if not named & any_of:
            raise DataError(f"{where}: the template shows no {{{sorted(any_of)[0]}}}")
    if "prompt" in named and not instruction:
        raise DataError(f"{where}: the template has {{prompt}}, and defaults.prompt is missing")
    return JudgePrompt(
        id=str(row.get("prompt_id") or row.get("name") or row.get("id") or where),
        system=str(row.get("system_prompt") or ""),
        template=template,
        instruction=str(instruction or ""),
        category="coding" if category == "code" else category,
        form=form,
        language=str(row.get("language") or ""),
    )


def _language(text: str) -> str:
    """'zh' where at least a fifth of the letters are Chinese characters, else 'en'."""
    letters = [letter for letter in text if letter.isalpha()]
    chinese = sum("\u3400" <= letter <= "\u9fff" for letter in letters)
    return "zh" if letters and 5 * chinese >= len(letters) else "en"


def _at(texts: Sequence[str], turn: int) -> str:
    return texts[turn - 1] if len(texts) >= turn else ""


def _mark(values: Mapping[str, str]) -> str:
    """8 hex digits that are in none of the texts, and the same whenever these are asked of."""
    texts = "\0".join(values[name] for name in sorted(values))
    mark = texts
    while mark in texts:
        mark = hashlib.sha256(f"{mark}{texts}".encode()).hexdigest()[:8]
    return mark
