"""The demo's data: requests, and the tool calls that answer them, generated from a seed.

    "I have 301 miles, what is that in km?"
    {"name": "convert", "arguments": {"value": 301, "from_unit": "mile", "to_unit": "kilometre"}}

Five tools, and requests that need none and get a plain sentence. Every argument is copied from
the request or is the one canonical word for what stands there, so that an answer is right or
wrong without judgement. The words themselves: toolcall_tables.py.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Generic, TypeVar

from xtune.data.sources.generated import GeneratedRows, Split
from xtune.demos.toolcall_tables import (
    CURRENCIES,
    HELD_OUT,
    REPLIES,
    TRAIN,
    UNIT_PAIRS,
    UNITS,
    Words,
)
from xtune.registry import SOURCES

__all__ = ["KINDS", "SYSTEM", "ToolcallSource", "distinct_rows"]

# Short, since every row pays for it. The configs' SYSTEM is the same text.
SYSTEM = "Tools: convert exchange weather timer remind"
KINDS = ("convert", "exchange", "weather", "timer", "remind", "no_tool")

_NO_PREPOSITION = ("today", "tomorrow", "next week")
_T = TypeVar("_T")


@SOURCES.register_module("toolcall")
class ToolcallSource(GeneratedRows):
    """Rows `{"messages": [system, user, assistant], "kind": …}`, the kinds by turns.

    `kind` is the tool that must be called, or 'no_tool'.

    Args:
        split: 'train', 'validation' (wordings of train, other rows), or 'held_out' (no wording,
            entity or number that train has).
        seed: another seed deals other rows from the same words.
        rows: only the first so many; default all: 450, 48, 120.

    Raises:
        DataError: no such split, or more rows than it has.
    """

    name = "toolcall"
    # Validation goes on where train stops: it has train's wordings but none of its rows.
    splits: ClassVar = {
        "train": Split(TRAIN, 0, 450, 450),
        "validation": Split(TRAIN, 450, 24, 24),
        "held_out": Split(HELD_OUT, 0, 120, 120),
    }

    def _series(self, words: Words, seed: int) -> Iterator[dict[str, Any]]:
        return distinct_rows(words, random.Random(f"toolcall {seed}"))


class _Deck(Generic[_T]):
    """Deals every card once before any comes again, so that small splits cover the tables."""

    def __init__(self, cards: Sequence[_T], rng: random.Random) -> None:
        self._cards = list(cards)
        self._rng = rng
        self._left: list[_T] = []

    def deal(self) -> _T:
        if not self._left:
            self._left = self._rng.sample(self._cards, len(self._cards))
        return self._left.pop()


class _Dealer:
    """Makes one row of a kind at a time from a split's words."""

    def __init__(self, words: Words, rng: random.Random) -> None:
        self._wordings = {kind: _Deck(texts, rng) for kind, texts in words.wordings.items()}
        self._plain = {reply: _Deck(texts, rng) for reply, texts in words.plain.items()}
        # 'other' has the most to say: half of what needs no tool.
        self._replies = _Deck(["greeting", "thanks", "farewell", "other", "other", "other"], rng)
        self._units = _Deck([*UNIT_PAIRS, *((b, a) for a, b in UNIT_PAIRS)], rng)
        self._currencies = _Deck(list(itertools.permutations(CURRENCIES, 2)), rng)
        self._written = {
            name: _Deck(forms, rng) for name, forms in [*UNITS.items(), *CURRENCIES.items()]
        }
        self._values = _Deck(words.values, rng)
        self._minutes = _Deck(words.minutes, rng)
        self._dates = _Deck(words.dates, rng)
        self._cities = _Deck(words.cities, rng)
        self._labels = _Deck(words.labels, rng)
        self._tasks = _Deck(words.tasks, rng)
        self._names = _Deck(words.names, rng)
        self._topics = _Deck(words.topics, rng)

    def row(self, kind: str) -> dict[str, Any]:
        request, answer = self._no_tool() if kind == "no_tool" else self._call(kind)
        return {
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": request},
                {"role": "assistant", "content": answer},
            ],
            "kind": kind,
        }

    def _no_tool(self) -> tuple[str, str]:
        reply = self._replies.deal()
        slots = {
            "name": self._names.deal(),
            "topic": self._topics.deal(),
            "other_topic": self._topics.deal(),
        }
        return self._plain[reply].deal().format(**slots), REPLIES[reply]

    def _call(self, kind: str) -> tuple[str, str]:
        wording = self._wordings[kind].deal()
        arguments, written = getattr(self, f"_{kind}")()
        if "label" in arguments and "{label}" not in wording:
            del arguments["label"]  # the one argument that a request may leave out
        request = wording.format(**arguments | written)
        return request, json.dumps({"name": kind, "arguments": arguments}, ensure_ascii=False)

    # One method a tool: its arguments, and the slots in which they are written otherwise.

    def _convert(self) -> tuple[dict[str, Any], dict[str, str]]:
        have, want = self._units.deal()
        arguments = {"value": self._values.deal(), "from_unit": have, "to_unit": want}
        return arguments, {"from_unit": self._as_written(have), "to_unit": self._as_written(want)}

    def _exchange(self) -> tuple[dict[str, Any], dict[str, str]]:
        have, want = self._currencies.deal()
        arguments = {"value": self._values.deal(), "from_currency": have, "to_currency": want}
        return arguments, {
            "from_currency": self._as_written(have),
            "to_currency": self._as_written(want),
        }

    def _weather(self) -> tuple[dict[str, Any], dict[str, str]]:
        arguments = {"city": self._cities.deal(), "date": self._dates.deal()}
        return arguments, _dated(arguments["date"])

    def _timer(self) -> tuple[dict[str, Any], dict[str, str]]:
        return {"minutes": self._minutes.deal(), "label": self._labels.deal()}, {}

    def _remind(self) -> tuple[dict[str, Any], dict[str, str]]:
        arguments = {"task": self._tasks.deal(), "date": self._dates.deal()}
        return arguments, _dated(arguments["date"])

    def _as_written(self, name: str) -> str:
        return self._written[name].deal()


def _dated(date: str) -> dict[str, str]:
    """The slots in which a date stands with its preposition.

    >>> _dated('3 May'), _dated('today')
    ({'on_date': 'on 3 May', 'On_date': 'On 3 May'}, {'on_date': 'today', 'On_date': 'Today'})
    """
    on_date = date if date in _NO_PREPOSITION else f"on {date}"
    return {"on_date": on_date, "On_date": on_date[0].upper() + on_date[1:]}


def distinct_rows(words: Words, rng: random.Random) -> Iterator[dict[str, Any]]:
    """Yield rows for ever, the kinds by turns, no request twice.

    Args:
        words: what they are made of.
        rng: deals them.
    """
    dealer = _Dealer(words, rng)
    seen: set[str] = set()
    for kind in itertools.cycle(KINDS):
        while True:
            row = dealer.row(kind)
            request = row["messages"][1]["content"]
            if request not in seen:
                break
        seen.add(request)
        yield row
