"""Questions of a user's own, in a file: with options, with the exact answer, or to be judged.

Form: completion or chat. Shots: none. Scoring: what the first row's fields tell:

    question, options [a list] or A B C …, answer    option_letter; of several answers: all of them
    question, answer, aliases                        exact_match
    question, reference                              judged; `reference` may be missing

An answer to options is a letter, the option's own text, or its number from 0; 'AC', 'A, C' or a
list are several, all of which and no other must be named. `id`, `group` and `system`, a system
text of its own, may stand in each row.

Source: the user: .jsonl, .json, .csv, .tsv or .parquet.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from xtune.data.sources.files import FilesSource, find_files
from xtune.errors import UsageError
from xtune.eval.metrics.words import has_chinese
from xtune.eval.published import damaged, field
from xtune.eval.tasks.base import Ask, Choices, Form, Generation, Item, Response, Score, Task
from xtune.eval.tasks.own_rows import AnswerRows, ChoiceRows, JudgedRows, OwnRows, options_of
from xtune.local_path import not_there
from xtune.registry import EVALUATIONS

__all__ = ["OwnFile"]

_EVERY_KIND = ("id", "group", "system", "question")


@EVALUATIONS.register_module()
class OwnFile(Task):
    """Questions of a file of one's own; see the module.

    Args:
        data_path: the file; also a folder or a glob of such files.
        max_new_tokens: of an answer in words.
    """

    name = "own_file"
    scoring = "by the file"
    headline = "acc"

    def __init__(self, *, data_path: str, max_new_tokens: int = 256) -> None:
        if not find_files(data_path):
            raise UsageError(f"own_file: {not_there(data_path, 'file of questions')}")
        self.source = FilesSource(data_path)
        self.data_path = data_path
        if Path(data_path).expanduser().is_file():  # the results are called as the file is
            self.name = Path(data_path).stem.replace("-", "_")  # type: ignore[misc]
        first = next(iter(self.source.rows()), None)
        if first is None:
            raise UsageError(f"own_file: {self.source.why_empty()}")
        self.kind = _kind_of(first[1], first[0], max_new_tokens)
        self.scoring = self.kind.scoring  # type: ignore[misc]  # each file has its own
        self.headline = self.kind.headline  # type: ignore[misc]

    def items(self) -> Sequence[Item]:
        """Return a question a row; see `Task`."""
        return self._items

    def ask(self, item: Item, form: Form) -> Ask:
        """Return what the kind of rows asks.

        Args: as `Task.ask`.
        """
        asked = self.kind.ask(item, form)
        system = item.fields.get("system")
        if not system:
            return asked
        description = system if form == "chat" else f"{system}\n\n"
        return _described(asked, description)

    def score(self, item: Item, response: Response) -> Score:
        """Return what the kind of rows makes of an answer.

        Args: as `Task.score`.
        """
        return self.kind.score(item, response)

    def chance(self, items: Sequence[Item]) -> float:
        """Return what guessing would get; of several right options, one set of all; see `Task`."""
        return self.kind.chance(items)

    def settings(self) -> dict[str, Any]:
        """Return the file's name and how its rows are read; see `Task`."""
        return {
            "file": Path(self.data_path).name,
            "items": len(self._items),
            "scoring": self.scoring,
            **({"system_of_rows": _hash_of(systems)} if (systems := self._systems) else {}),
            **self.kind.settings(),
        }

    def notices(self, items: Sequence[Item], scores: Sequence[Score]) -> list[str]:
        """Say how the rows are read, and which fields nobody reads.

        Args: as `Task.notices`.
        """
        said = [f"{Path(self.data_path).name}: {self.kind.said}"]
        if unread := self._read[1]:
            said.append(f"{Path(self.data_path).name}: not read: {', '.join(unread)}")
        return said

    @property
    def _systems(self) -> dict[str, str]:
        """The system texts of rows that have one, by id."""
        return {item.id: item.fields["system"] for item in self._items if "system" in item.fields}

    @property
    def _items(self) -> list[Item]:
        return self._read[0]

    @cached_property
    def _read(self) -> tuple[list[Item], list[str]]:
        """The items, and the fields of rows that nobody reads."""
        made: list[Item] = []
        unread: dict[str, None] = {}
        seen: dict[str, str] = {}
        for number, (place, row) in enumerate(self.source.rows(), start=1):
            where = self._short(place)
            name = str(row.get("id") or number)
            if name in seen:
                raise damaged(where, f"the id {name!r} stands at {seen[name]} too")
            seen[name] = where
            known = {*_EVERY_KIND, *self.kind.fields, *options_of(row)}
            unread |= dict.fromkeys(key for key in row if key not in known)
            question = field(row, where, "question").strip()
            if not question:
                raise damaged(where, "the question is blank")
            if _rank(_kind_of(row, where, 0)) > _rank(self.kind):
                raise damaged(where, f"it is no row as the first, of {self.kind.said}: two files")
            item = self.kind.item(row, where, name, question, group=str(row.get("group") or ""))
            if row.get("system"):
                system = field(row, where, "system").strip()
                item = replace(item, fields={**item.fields, "system": system})
            made.append(item)
        return made, list(unread)

    def _short(self, place: str) -> str:
        """'questions.jsonl:3' alone, so that a file may lie anywhere."""
        folder = Path(self.source.files[0]).parent
        return place.removeprefix(f"{folder}/")


def _described(asked: Ask, description: str) -> Ask:
    """The same, each prompt behind a text."""
    if isinstance(asked, Choices):
        parts = [
            replace(one, prompt=replace(one.prompt, description=description))
            for one in asked.candidates
        ]
        return Choices(tuple(parts))
    assert isinstance(asked, Generation)
    return replace(asked, prompt=replace(asked.prompt, description=description))


def _hash_of(texts: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(sorted(texts.items())).encode()).hexdigest()[:16]


def _rank(kind: OwnRows) -> int:
    """What a kind reads next to the question: nothing, an answer, options and an answer."""
    return (JudgedRows, AnswerRows, ChoiceRows).index(type(kind))


def _kind_of(row: Mapping[str, Any], where: str, max_new_tokens: int) -> OwnRows:
    """What the first row's fields tell of all."""
    question = field(row, where, "question")
    chinese = has_chinese(question)
    if "options" in row or "choices" in row or options_of(row):
        return ChoiceRows(chinese, max_new_tokens)
    if "answer" in row:
        return AnswerRows(chinese, max_new_tokens)
    return JudgedRows(chinese, max_new_tokens)
