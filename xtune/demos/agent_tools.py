"""The agent demo's data: requests, calls, what the tools really return, and answers, from a seed.

    user       How tall is Brolmora in feet?
    assistant  search {"query": "Brolmora height"}
    tool       [1] towers.md, line 4 ... It is 95 metres tall ...
    assistant  convert {"value": 95, "from_unit": "metre", "to_unit": "foot"}
    tool       95 metre = 311.6797900 foot
    assistant  That is 311.6797900 feet.

Results are never written down here: the tools are called, so data and tools cannot drift apart.
Only dates with a year are asked for, since 'today' would change the rows overnight. The words:
train_words.py and held_out_words.py; what search finds: notes/*.md, read here too.
"""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date as Date
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

from xtune.data.sources.generated import GeneratedRows, Split
from xtune.demos.agent_answers import (
    FACTS,
    Note,
    computed,
    dated,
    found,
    measured,
    refused,
    timed,
)
from xtune.demos.held_out_words import HELD_OUT
from xtune.demos.toolcall_tables import REPLIES, UNIT_PAIRS, UNITS
from xtune.demos.train_words import TRAIN
from xtune.demos.wordings import Wordings
from xtune.registry import SOURCES
from xtune.tools.base import Tool, ToolError
from xtune.tools.build import build_tools

__all__ = ["KINDS", "NOTES", "TOOL_OPTIONS", "AgentToolsSource", "read_notes"]

NOTES = Path(__file__).parent / "notes"
KINDS = ("single", "parallel", "nested", "no_tool", "error")
# Search finds one note: five would fill a row. The timer's answer is the same when nothing rings.
TOOL_OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "calculator": {},
    "convert": {},
    "date": {},
    "timer": {"ring": False},
    "search": {"folder": str(NOTES), "count": 1},
}
_ERRORS = ("convert", "calculator", "timer", "search", "fix date", "fix calculator")
_NOTE = re.compile(
    r"# (?P<name>\w+)\n.* stands in (?P<place>\w+)\. It is (?P<height>\d+) metres tall and was "
    r"finished in (?P<year>\d+)\. (?P<designer>[\w ]+) designed it, and it is painted "
    r"(?P<colour>\w+)\."
)
_BRACKETS = re.compile(r"\[([^\]]*)\]")
_MISMATCHED = (("mile", "kilogram"), ("pound", "metre"), ("litre", "foot"), ("celsius", "gallon"))
# Ten degrees twice are not twenty
_MULTIPLIED = tuple(pair for pair in UNIT_PAIRS if "celsius" not in pair)
_MONTHS = "January February March April May June July August September October November December"


class _Task(NamedTuple):
    """A request, and how it is answered.

    `answer` makes of the last turn's results the text, and what must stand in any right answer.
    """

    request: str
    calls: tuple[tuple[str, dict[str, Any]], ...]
    answer: Callable[[list[str]], tuple[str, list[str]]]


@SOURCES.register_module("agent_tools")
class AgentToolsSource(GeneratedRows):
    """Rows `{"messages", "tools", "kind", "expect"}` in OpenAI's form, the kinds by turns.

    A row of train has one to three requests, of held_out one; `kind` and `expect` are of the last.
    `kind` is 'single', 'parallel' (two calls in one turn), 'nested' (the second needs the first's
    result), 'no_tool' or 'error' (a tool refuses; the answer says so, or the call is corrected).
    `expect` lists what a right final answer contains.

    Args:
        split: 'train', 'validation' (wordings of train, other rows, but for requests that need no
            tool), or 'held_out' (no wording, building or dealt number that train has).
        seed: another seed deals other rows from the same words.
        rows: only the first so many; default: 520 of 'train', all of the others.

    Raises:
        DataError: no such split, or more rows than it has.
    """

    name = "agent_tools"
    # Validation goes on where the longest train stops
    splits: ClassVar = {
        "train": Split(TRAIN, 0, 2000, 520),
        "validation": Split(TRAIN, 2000, 48, 48),
        "held_out": Split(HELD_OUT, 0, 160, 160),
    }

    def _series(self, words: Wordings, seed: int) -> Iterator[dict[str, Any]]:
        dealer = _Dealer(words, random.Random(f"agent_tools {seed} 0"), words is HELD_OUT)
        return _dialogues(dealer, words)


def read_notes(*, held_out: bool) -> list[Note]:
    """Return the buildings of the notes: every fourth is held out, the others are train's."""
    found = [
        match.groupdict()
        for file in sorted(NOTES.glob("*.md"))
        for match in _NOTE.finditer(file.read_text(encoding="utf-8"))
    ]
    return [note for at, note in enumerate(found) if (at % 4 == 3) == held_out]


class _Dealer:
    """Makes one row of a kind at a time."""

    def __init__(self, words: Wordings, rng: random.Random, held_out: bool) -> None:
        self._words = words
        self._rng = rng
        self._decks: dict[int, list[Any]] = {}
        self._notes = read_notes(held_out=held_out)
        self._years = range(1900, 1960) if held_out else range(1960, 2020)
        self.tools: dict[str, Tool] = {
            name: build_tools(name, options)[0] for name, options in TOOL_OPTIONS.items()
        }
        self._schemas = [tool.spec.schema() for tool in self.tools.values()]

    def row(self, kind: str) -> dict[str, Any]:
        (asked, *rest), expect = getattr(self, f"_{kind}")()
        asked["content"] = self._deal(self._words.openings) + asked["content"]
        messages = [asked, *rest]
        return {"messages": messages, "tools": self._schemas, "kind": kind, "expect": expect}

    # ---- Kinds

    def _single(self) -> tuple[list[dict[str, Any]], list[str]]:
        task = self._task(self._deal(self._words.tools))
        results = [self._call(*call) for call in task.calls]
        text, expect = task.answer(results)
        return [*_asked(task.request), *_turn(task.calls, results), _said(text)], expect

    def _parallel(self) -> tuple[list[dict[str, Any]], list[str]]:
        first, second = (self._task(self._deal(self._words.tools)) for _ in range(2))
        request = self._worded(self._words.joins).format(first=first.request, second=second.request)
        calls = (*first.calls, *second.calls)
        results = [self._call(*call) for call in calls]
        (text, expect), (other, expects) = first.answer(results[:1]), second.answer(results[1:])
        return [
            *_asked(request),
            *_turn(calls, results),
            _said(f"{text} {other}"),
        ], expect + expects

    def _nested(self) -> tuple[list[dict[str, Any]], list[str]]:
        kind = self._deal(tuple(self._words.nested))
        first, second = kind.split()
        small = self._deal(self._small())
        slots: dict[str, Any] = {"b": small}
        if first == "search":
            note = self._deal(self._notes)
            slots["name"] = note["name"]
            call = ("search", {"query": f"{note['name']} height"})
            value: Any = int(note["height"])
        else:
            most = 1440 // small if second == "timer" else 1000
            slots["a"] = self._deal([n for n in self._words.words.values if n <= most])
            call = ("calculator", {"expression": f"{slots['a']} * {small}"})
            value = slots["a"] * small
        result = self._call(*call)
        if second == "convert":
            have, want = ("metre", "foot") if first == "search" else self._units(_MULTIPLIED)
            slots |= {"from_unit": self._written(have), "to_unit": self._written(want)}
            task = self._converted(value, have, want)
        elif second == "timer":
            task = _Task("", (("timer", {"minutes": value}),), timed)
        else:
            task = _Task("", (("calculator", {"expression": f"{value} * {small}"}),), computed)
        request = self._worded(self._words.nested[kind]).format(**slots)
        results = [self._call(*task.calls[0])]
        text, expect = task.answer(results)
        steps = [*_turn([call], [result]), *_turn(task.calls, results)]
        return [*_asked(request), *steps, _said(text)], expect

    def _no_tool(self) -> tuple[list[dict[str, Any]], list[str]]:
        reply = self._deal(("greeting", "thanks", "farewell", "other", "other"))
        words = self._words.words
        request = self._worded(words.plain[reply]).format(
            name=self._deal(words.names),
            topic=self._deal(words.topics),
            other_topic=self._deal(words.topics),
        )
        return [*_asked(request), _said(REPLIES[reply])], []

    def _error(self) -> tuple[list[dict[str, Any]], list[str]]:
        what = self._deal(_ERRORS)
        if what.startswith("fix"):
            return self._repair(what.split()[1])
        wording = self._deal(self._words.error[what])
        value = self._deal(self._words.words.values)
        if what == "convert":
            have, want = self._deal([*_MISMATCHED, *(pair[::-1] for pair in _MISMATCHED)])
            slots = {"from_unit": self._written(have), "to_unit": self._written(want)}
            request = self._chosen(wording).format(value=value, **slots)
            call = ("convert", {"value": value, "from_unit": have, "to_unit": want})
        elif what == "calculator":
            request = self._chosen(wording).format(a=value)
            call = ("calculator", {"expression": f"{value} / 0"})
        elif what == "timer":
            minutes = 1440 + value * 7
            request = self._chosen(wording).format(minutes=minutes)
            call = ("timer", {"minutes": minutes})
        else:
            name = self._deal(self._words.unknown)
            asked = next(each for each in FACTS if wording in self._words.search[each])
            request = self._chosen(wording).format(name=name)
            call = ("search", {"query": f"{name} {asked}"})
        result = self._call(*call)
        text, expect = refused(what, result, call[1])
        return [*_asked(request), *_turn([call], [result]), _said(text)], expect

    def _repair(self, tool: str) -> tuple[list[dict[str, Any]], list[str]]:
        wording = self._worded(self._words.repair[tool])
        if tool == "date":
            day = self._day()
            said = f"{day.day} {_MONTHS.split()[day.month - 1]} {day.year}"
            request = wording.format(said=said)
            wrong: tuple[str, dict[str, Any]] = ("date", {"day": said})
            right: tuple[str, dict[str, Any]] = ("date", {"day": day.isoformat()})
        else:
            a, b = (self._deal(self._words.words.values) for _ in "ab")
            request = wording.format(a=a, b=b)
            wrong = ("calculator", {"expression": f"{a} x {b}"})
            right = ("calculator", {"expression": f"{a} * {b}"})
        results = [self._call(*wrong)], [self._call(*right)]
        text, expect = (dated if tool == "date" else computed)(results[1])
        mistake = _turn([wrong], results[0], trained=False)
        return [*_asked(request), *mistake, *_turn([right], results[1]), _said(text)], expect

    # ---- One call of a tool, in words of the split

    def _task(self, tool: str) -> _Task:
        if tool == "calculator":
            operator = self._deal(tuple(self._words.calculator))
            a, b = (self._deal(self._words.words.values) for _ in "ab")
            if operator == "/":
                b = self._deal((2, 4, 5, 8))
            if operator == "-":
                a, b = max(a, b), min(a, b)
            request = self._worded(self._words.calculator[operator]).format(a=a, b=b)
            return _Task(request, ((tool, {"expression": f"{a} {operator} {b}"}),), computed)
        if tool == "convert":
            value, (have, want) = self._deal(self._words.words.values), self._units()
            slots = {"from_unit": self._written(have), "to_unit": self._written(want)}
            request = self._worded(self._words.convert).format(value=value, **slots)
            return self._converted(value, have, want)._replace(request=request)
        if tool == "date":
            asked = self._deal(tuple(self._words.date))
            day, days = self._day(), self._deal(self._words.words.minutes)
            request = self._worded(self._words.date[asked]).format(day=day.isoformat(), n=days)
            arguments: dict[str, Any] = {"day": day.isoformat()}
            if asked != "weekday":
                arguments["add_days"] = days if asked == "after" else -days
            return _Task(request, ((tool, arguments),), dated)
        if tool == "timer":
            wording = self._worded(self._words.timer)
            arguments = {"minutes": self._deal(self._words.words.minutes)}
            label = self._deal(self._words.words.labels)
            if "{label}" in wording:
                arguments["label"] = label
            request = wording.format(minutes=arguments["minutes"], label=label)
            return _Task(request, ((tool, arguments),), timed)
        note, asked = self._deal(self._notes), self._deal(tuple(FACTS))
        request = self._worded(self._words.search[asked]).format(name=note["name"])
        call = (tool, {"query": f"{note['name']} {asked}"})
        return _Task(request, (call,), partial(found, note, asked))

    def _converted(self, value: int, have: str, want: str) -> _Task:
        arguments = {"value": value, "from_unit": have, "to_unit": want}
        return _Task("", (("convert", arguments),), partial(measured, want))

    def _small(self) -> tuple[int, ...]:
        return tuple(n for n in self._words.words.minutes if n < 20)

    def _units(self, pairs: Sequence[tuple[str, str]] = UNIT_PAIRS) -> tuple[str, str]:
        return self._deal((*pairs, *(pair[::-1] for pair in pairs)))

    def _written(self, unit: str) -> str:
        return self._rng.choice(UNITS[unit])

    def _day(self) -> Date:
        return Date(self._rng.choice(self._years), 1, 1) + timedelta(self._rng.randrange(365))

    def _call(self, name: str, arguments: Mapping[str, Any]) -> str:
        try:
            return str(self.tools[name].function(**arguments))
        except ToolError as error:
            return str(error)

    def _worded(self, wordings: Sequence[str]) -> str:
        return self._chosen(self._deal(wordings))

    def _chosen(self, wording: str) -> str:
        """The wording with one of each [alternatives|in brackets]."""
        return _BRACKETS.sub(lambda given: self._rng.choice(given[1].split("|")), wording)

    def _deal(self, cards: Any) -> Any:
        """One of the cards; each comes once before any comes again."""
        left = self._decks.setdefault(hash(tuple(map(str, cards))), [])
        if not left:
            left += self._rng.sample(list(cards), len(cards))
        return left.pop()


# ---- Messages


def _asked(request: str) -> list[dict[str, Any]]:
    return [{"role": "user", "content": request}]


def _said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def _turn(calls: Any, results: list[str], *, trained: bool = True) -> list[dict[str, Any]]:
    made: dict[str, Any] = {
        "role": "assistant",
        "content": "",
        "tool_calls": [
            {"type": "function", "function": {"name": name, "arguments": dict(arguments)}}
            for name, arguments in calls
        ],
    }
    if not trained:
        made["loss"] = False
    heard = [
        {"role": "tool", "name": call[0], "content": result}
        for call, result in zip(calls, results, strict=True)
    ]
    return [made, *heard]


def _dialogues(dealer: _Dealer, words: Wordings) -> Iterator[dict[str, Any]]:
    """Rows for ever, of one request or of several, one after the other."""
    rows = _distinct(dealer, words.kinds)
    for count in itertools.cycle(words.requests):
        *before, last = itertools.islice(rows, count)
        heard = [message for row in before for message in row["messages"]]
        yield last | {"messages": [*heard, *last["messages"]]}


def _distinct(dealer: _Dealer, kinds: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Rows of one request, the kinds by turns, no request twice."""
    seen: set[str] = set()
    for kind in itertools.cycle(kinds):
        while True:
            row = dealer.row(kind)
            request = row["messages"][0]["content"]
            if request not in seen or kind == "no_tool":
                break
        seen.add(request)
        yield row
