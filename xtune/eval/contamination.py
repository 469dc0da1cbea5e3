"""Which items of a task stand in the training rows already: what was learnt by heart is no ability.

An item is touched if a run of tokens of its question stands in a training row, as in the GPT-3
paper (Brown et al., 2020, appendix C): 13 tokens, or 8 where the question has fewer than 13. A
token is a word, or one character of Chinese, Japanese or Korean; case, punctuation and width do not
count. Shorter questions cannot be told from chance, and are counted apart.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from xtune.data.mixture import shares_of
from xtune.data.sources import open_source

if TYPE_CHECKING:
    from xtune.eval.tasks.base import Item

__all__ = [
    "Contamination",
    "Overlap",
    "find_overlaps",
    "find_overlaps_by_task",
    "tokens_of",
    "training_texts",
]

_LONG, _SHORT = 13, 8  # tokens
_CJK = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\U00020000-\U0003ffff]")
_TOKEN = re.compile(rf"{_CJK.pattern}|[^\W_]+")


@dataclass(frozen=True, slots=True)
class Overlap:
    """The longest run of tokens that an item's question shares with a training row.

    Attributes:
        tokens: of the run.
        of: tokens of the question.
        where: the first training row that has it.
        text: the run.
    """

    tokens: int
    of: int
    where: str
    text: str


@dataclass(slots=True)
class Contamination:
    """What was found.

    Attributes:
        touched: by the item's id.
        too_short: ids of questions of fewer than 8 tokens.
        rows: training rows that were read.
    """

    touched: dict[str, Overlap] = field(default_factory=dict)
    too_short: list[str] = field(default_factory=list)
    rows: int = 0


def tokens_of(text: str) -> list[str]:
    """Return the tokens of a text, in which case, punctuation and width do not count.

    >>> tokens_of('Ｗhat IS 3.5 km? 天空，')
    ['what', 'is', '3', '5', 'km', '天', '空']
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    return [part for token in _TOKEN.findall(plain) for part in _parted(token)]


def find_overlaps(items: Sequence[Item], texts: Iterable[tuple[str, str]]) -> Contamination:
    """Look for the items' questions in training texts, which are read once.

    Args:
        items: of a task.
        texts: where each training text stands, and the text.
    """
    found = Contamination()
    questions = {item.id: tokens_of(item.question) for item in items}
    starts: dict[tuple[str, ...], list[tuple[str, int]]] = {}
    for name, question in questions.items():
        if len(question) < _SHORT:
            found.too_short.append(name)
        for at in range(len(question) - _SHORT + 1):
            starts.setdefault(tuple(question[at : at + _SHORT]), []).append((name, at))
    last = None
    for where, text in texts:
        found.rows += where != last
        last = where
        tokens = tokens_of(text)
        for at in range(len(tokens) - _SHORT + 1):
            for name, start in starts.get(tuple(tokens[at : at + _SHORT]), ()):
                question = questions[name]
                if at and start and tokens[at - 1] == question[start - 1]:
                    continue  # counted from where the run begins
                length = _common(tokens, at, question, start)
                known = found.touched.get(name)
                needed = _LONG if len(question) >= _LONG else _SHORT
                if length >= needed and (known is None or length > known.tokens):
                    run = " ".join(question[start : start + length])
                    found.touched[name] = Overlap(length, len(question), where, run)
    return found


def find_overlaps_by_task(
    items: Mapping[str, Sequence[Item]], texts: Iterable[tuple[str, str]]
) -> dict[str, Contamination]:
    """Look for the questions of several tasks, in training texts that are read once for all.

    Args:
        items: of each task, by its label.
        texts: as for `find_overlaps`.
    """
    marked = [
        replace(item, id=f"{label}\n{item.id}") for label, some in items.items() for item in some
    ]
    found = find_overlaps(marked, texts)
    whole = {label: Contamination(rows=found.rows) for label in items}
    for name, overlap in found.touched.items():
        label, _, own = name.partition("\n")
        whole[label].touched[own] = overlap
    for name in found.too_short:
        label, _, own = name.partition("\n")
        whole[label].too_short.append(own)
    return whole


def training_texts(dataset: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield where each row of a run's training data stands, with each text in it.

    All texts of a row count, whatever its map_fn takes: a question that stands in a field nobody
    trains on is rarely there by chance.

    Args:
        dataset: `train_dataset` of the sheet.

    Raises:
        DataError: the data cannot be read.
    """
    split = dataset.get("split", "train")
    for share in shares_of(dataset["data_path"], map_fn=dataset.get("map_fn", "auto"), split=split):
        rows = open_source(share.data_path, split=share.split).rows()
        for number, (where, row) in enumerate(rows):
            if number == share.max_rows:
                break
            for text in _texts(row):
                yield where, text


def _texts(value: Any) -> Iterator[str]:
    """Each text in a row, however deep."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _texts(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _texts(each)


def _parted(token: str) -> list[str]:
    """A token, or its characters where Latin and Chinese stand together without a blank."""
    if len(token) == 1 or not _CJK.search(token):
        return [token]
    return [part for part in re.split(f"({_CJK.pattern})", token) if part]


def _common(left: Sequence[str], at: int, right: Sequence[str], start: int) -> int:
    """How many tokens are equal from two places on."""
    most = min(len(left) - at, len(right) - start)
    return next((n for n in range(most) if left[at + n] != right[start + n]), most)
