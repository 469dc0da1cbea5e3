"""Files of answers: the forms that they have, and the questions that they share.

A row is a question with its answer (`id`, `category` and `reference` may be there), AlpacaEval's
`instruction` and `output`, an evaluation's own row with what was `got`, or FastChat's `choices`,
whose questions lie in a file of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from xtune.data.sources.files import FilesSource, find_files
from xtune.errors import DataError, UsageError
from xtune.local_path import not_there

__all__ = ["AnswerSet", "Item", "Shared", "kind_of_category", "read_answers", "shared_questions"]

_ID = ("id", "question_id", "key")
_QUESTION = ("question", "instruction", "prompt", "query")
_ANSWER = ("got", "answer", "output", "response")
_REFERENCE = ("reference", "std_answer", "reference_answer", "expected")
_CATEGORY = ("category", "class", "group", "task")
_READ = {*_ID, *_QUESTION, *_ANSWER, *_REFERENCE, *_CATEGORY, "input", "choices", "turns"}
_NEEDED = (
    f"it needs a question ({', '.join(_QUESTION)}) and an answer ({', '.join(_ANSWER)}), or "
    "FastChat's choices and --questions FILE"
)


@dataclass(frozen=True, slots=True)
class Item:
    """One question and one answer.

    Attributes:
        id: of the question; its text where the file has no ids. Turn 2 of '81' is '81#2'.
        questions: of each turn up to the one that is judged.
        answers: likewise.
        category: as the file names it; 'general' if it names none.
        references: right answers of each turn; () if none is known.
        where: file and line.
    """

    id: str
    questions: tuple[str, ...]
    answers: tuple[str, ...]
    category: str = "general"
    references: tuple[str, ...] = ()
    where: str = ""

    @property
    def question(self) -> str:
        """All turns of the one who asks, as one text."""
        return _turns(self.questions)

    @property
    def answer(self) -> str:
        """All turns of the one who answers, as one text."""
        return _turns(self.answers)

    @property
    def reference(self) -> str:
        """The right answers, as one text; '' if none is known."""
        return _turns(self.references)

    @property
    def kind(self) -> str:
        """general, math or coding: what llm3s' prompts tell apart."""
        return kind_of_category(self.category)


@dataclass(slots=True)
class AnswerSet:
    """The answers of one model.

    Attributes:
        name: of the model, for tables: the file's name without its ending.
        path: of the file.
        items: by id.
        unusable: where each other row stands, and why it cannot be used.
        unread: fields that nobody reads, and in how many rows each is.
        fingerprint: a hash of the file.
    """

    name: str
    path: str
    items: dict[str, Item] = field(default_factory=dict)
    unusable: list[str] = field(default_factory=list)
    unread: Counter[str] = field(default_factory=Counter)
    fingerprint: str = ""


@dataclass(slots=True)
class Shared:
    """The questions that two files share.

    Attributes:
        first: items of the one file.
        second: those of the other, in the same order.
        mismatched: each question that is left out, and why.
    """

    first: list[Item] = field(default_factory=list)
    second: list[Item] = field(default_factory=list)
    mismatched: list[str] = field(default_factory=list)


def kind_of_category(category: str) -> str:
    """Return which of llm3s' three categories a category belongs to.

    >>> [kind_of_category(name) for name in ('Math', 'code', '数学', 'writing')]
    ['math', 'coding', 'math', 'general']
    """
    lowered = category.lower()
    if "math" in lowered or "数学" in lowered:
        return "math"
    if any(word in lowered for word in ("code", "coding", "program", "代码", "编程")):
        return "coding"
    return "general"


def read_answers(
    paths: Sequence[str], *, questions: str | None = None, references: str | None = None
) -> list[AnswerSet]:
    """Read files of answers.

    Args:
        paths: one a model.
        questions: a file of questions by id, for answers without theirs (FastChat's
            question.jsonl); its categories and references hold too.
        references: a file of right answers by id, in any form of a file of answers.

    Returns:
        One set for each path, in their order.

    Raises:
        UsageError: there is no such file.
        DataError: a file cannot be read, or none of its rows can be used.
    """
    asked = _by_id(questions, "--questions", _read_question) if questions else {}
    right = _by_id(references, "--references", _read_reference) if references else {}
    found = []
    for path, name in zip(paths, _names(paths), strict=True):
        source = _source(path)
        answers = AnswerSet(name, path, fingerprint=source.fingerprint())
        seen: Counter[str] = Counter()
        scored: dict[str, bool] = {}  # ids of an evaluation's items, and whether they have a score
        for where, row in source.rows(partial(_keep_error, answers.unusable)):
            answers.unread.update(key for key in row if key not in _READ)
            try:
                turns = _items(where, row, asked, right)
            except ValueError as error:
                answers.unusable.append(f"{where}: {error}")
                continue
            for item in turns:
                seen[item.id] += 1
                if item.id not in answers.items:
                    answers.items[item.id] = item
                    if isinstance(row.get("metrics"), Mapping):
                        scored[item.id] = bool(row["metrics"])
                else:
                    first = answers.items[item.id].where
                    answers.unusable.append(f"{where}: has the id or question of {first} again")
        _leave_out_scored(answers, scored)
        if not answers.items:
            why = f"; the first: {answers.unusable[0]}" if answers.unusable else ""
            raise DataError(f"{path} has no row that can be judged: {_NEEDED}{why}")
        found.append(answers)
    _adopt_ids(found)
    return found


def shared_questions(one: AnswerSet, other: AnswerSet) -> Shared:
    """Find the questions that two files share, in the order of the first.

    Questions are found by id, and by their text where ids differ. What has one id and two texts is
    not one question. Category and references that only one file knows hold for both answers.

    Args:
        one: a file of answers.
        other: a second one.
    """
    shared = Shared()
    by_text = {item.questions: item for item in other.items.values()}
    used: set[str] = set()
    for item in one.items.values():
        match = other.items.get(item.id)
        if match is None or match.questions != item.questions:
            match = by_text.get(item.questions, match)
        if match is None:
            shared.mismatched.append(f"{_short(item.id)}: only in {one.path}")
            continue
        used.add(match.id)
        if match.questions != item.questions:
            shared.mismatched.append(
                f"{_short(item.id)}: another question in {item.where} than in {match.where}"
            )
            continue
        category = item.category if item.category != "general" else match.category
        told = replace(item, category=category, references=item.references or match.references)
        shared.first.append(told)
        shared.second.append(replace(told, answers=match.answers, where=match.where))
    shared.mismatched += [
        f"{_short(item.id)}: only in {other.path}"
        for item in other.items.values()
        if item.id not in used
    ]
    return shared


def _names(paths: Sequence[str]) -> list[str]:
    """A name for each file: its stem, and its folder's name where stems are alike."""
    stems = [Path(path).name.partition(".")[0] for path in paths]
    if len(set(stems)) == len(paths):
        return stems
    names = [
        f"{Path(path).resolve().parent.name}/{stem}"
        for path, stem in zip(paths, stems, strict=True)
    ]
    if len(set(names)) == len(paths):
        return names
    raise UsageError(f"{', '.join(paths)}: name each file of answers once, each file another name")


def _leave_out_scored(answers: AnswerSet, scored: Mapping[str, bool]) -> None:
    """Keep the items of an evaluation that have no score, if there are any: they await a judge."""
    if len({*scored.values()}) < 2:
        return
    out = [id for id, has_score in scored.items() if has_score]
    for id in out:
        del answers.items[id]
    answers.unusable.append(f"{len(out)} items that have a score already: others await a judge")


def _keep_error(kept: list[str], error: DataError) -> None:
    kept.append(str(error))


def _adopt_ids(found: Sequence[AnswerSet]) -> None:
    """Give questions of files without ids the ids that another file has for them."""
    known: dict[tuple[str, ...], str] = {}
    for answers in found:
        for item in answers.items.values():
            if item.id != item.questions[0]:
                known.setdefault(item.questions, item.id)
    for answers in found:
        for item in list(answers.items.values()):
            name = known.get(item.questions, item.id)
            if item.id == item.questions[0] and name not in answers.items:
                del answers.items[item.id]
                answers.items[name] = replace(item, id=name)


def _items(
    where: str,
    row: Mapping[str, Any],
    asked: Mapping[str, tuple[tuple[str, ...], str, tuple[str, ...]]],
    right: Mapping[str, tuple[str, ...]],
) -> list[Item]:
    """The row's turns, each an item of its own.

    Raises:
        ValueError: it cannot be used; says why.
    """
    given = _id(row)
    questions, category, references = asked.get(given, ((), "", ()))
    if not questions:
        questions = _question(row)
    if not questions:
        raise ValueError(f"there is no question for it: {_NEEDED}")
    answers = _answer(row)
    if len(answers) > len(questions):
        raise ValueError(f"{len(answers)} answers to {len(questions)} questions")
    category = category or _text(row, _CATEGORY) or "general"
    references = right.get(given) or references or _texts(row, _REFERENCE)
    name = given or questions[0]
    return [
        Item(
            id=name if turn == 1 else f"{name}#{turn}",
            questions=questions[:turn],
            answers=answers[:turn],
            category=category,
            references=references[:turn] if len(references) >= turn else (),
            where=where,
        )
        for turn in range(1, len(answers) + 1)
    ]


def _id(row: Mapping[str, Any]) -> str:
    """The row's id as text, with its task where an evaluation wrote it; '' if it has none."""
    for name in _ID:
        if isinstance(row.get(name), str | int) and row[name] != "":
            task = row.get("task")
            return f"{task}/{row[name]}" if isinstance(task, str) and task else str(row[name])
    return ""


def _question(row: Mapping[str, Any]) -> tuple[str, ...]:
    found = _texts(row, _QUESTION) or _texts(row, ("turns",))
    more = row.get("input")
    if len(found) == 1 and isinstance(more, str) and more.strip():  # Alpaca's second field
        return (f"{found[0]}\n\n{more}",)
    return found


def _answer(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The answers of each turn; an empty text is an answer too."""
    choices = row.get("choices")
    if isinstance(choices, list) and choices and isinstance(choices[0], Mapping):
        turns = choices[0].get("turns")
        if isinstance(turns, list) and turns and all(isinstance(turn, str) for turn in turns):
            return tuple(turns)
        raise ValueError("choices[0].turns must be a list of texts")
    for name in _ANSWER:
        if isinstance(row.get(name), str):
            return (row[name],)
    raise ValueError(f"there is no answer in it: {_NEEDED}")


def _text(row: Mapping[str, Any], names: Sequence[str]) -> str:
    return next((row[n] for n in names if isinstance(row.get(n), str) and row[n].strip()), "")


def _texts(row: Mapping[str, Any], names: Sequence[str]) -> tuple[str, ...]:
    """The first of the fields that holds a text or a list of texts."""
    for name in names:
        value = row.get(name)
        if isinstance(value, str) and value.strip():
            return (value,)
        if isinstance(value, list) and value and all(isinstance(each, str) for each in value):
            return tuple(value)
    return ()


def _read_question(row: Mapping[str, Any]) -> tuple[tuple[str, ...], str, tuple[str, ...]] | None:
    questions = _question(row)
    return (questions, _text(row, _CATEGORY), _texts(row, _REFERENCE)) if questions else None


def _read_reference(row: Mapping[str, Any]) -> tuple[str, ...] | None:
    if found := _texts(row, _REFERENCE):
        return found
    try:
        return _answer(row)
    except ValueError:
        return None


def _source(path: str) -> FilesSource:
    if not find_files(path):
        raise UsageError(not_there(path, "file of answers"))
    return FilesSource(path)


def _by_id(path: str, flag: str, read: Any) -> dict[str, Any]:
    """The rows of a file by id."""
    found = {}
    for where, row in _source(path).rows():
        value = read(row)
        if not _id(row) or value is None:
            raise DataError(f"{flag} {where}: a row needs an id or question_id, and its text")
        found[_id(row)] = value
    if not found:
        raise DataError(f"{flag} {path} has no rows")
    return found


def _turns(texts: Sequence[str]) -> str:
    if len(texts) < 2:
        return "".join(texts)
    return "\n\n".join(f"[{turn}] {text}" for turn, text in enumerate(texts, 1))


def _short(name: str) -> str:
    line = " ".join(name.split())
    return line if len(line) <= 60 else f"{line[:59]}…"
