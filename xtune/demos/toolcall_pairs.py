"""The pairs of the preference demo: the toolcall demo's requests, each answered well and worse.

    "I have 301 miles, what is that in km?"
    chosen     {"name": "convert", "arguments": {"value": 301, "from_unit": "mile", …}}
    rejected   {"name": "convert", "arguments": {"value": 301, "from_unit": "kilometre", …}}

The better answer is that of toolcall.py; what is wrong with the other one is its row's `source`.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

from xtune.data.sources.generated import GeneratedRows, Split
from xtune.demos.toolcall import distinct_rows
from xtune.demos.toolcall_tables import HELD_OUT, TRAIN, Words
from xtune.demos.toolcall_talk import HELD_OUT_TALK, TRAIN_TALK, Talk
from xtune.registry import SOURCES

__all__ = ["FAULTS", "ToolcallPairsSource"]

# What may be wrong with the worse answer, where a tool is needed and where none is
FAULTS = {
    "call": ("wrong_argument", "wrong_tool", "prose", "talk"),
    # More often than others, against all the pairs in which a sentence is the worse answer
    "no_tool": ("needless_call", "talk", "needless_call"),
}

# Tools that sound alike, with what their arguments are called
_TWINS = {
    "convert": ("exchange", "unit", "currency"),
    "exchange": ("convert", "currency", "unit"),
}

Call = dict[str, Any]


class _Material(NamedTuple):
    words: Words
    talk: Talk


@SOURCES.register_module("toolcall_pairs")
class ToolcallPairsSource(GeneratedRows):
    """Rows `{"prompt": [system, user], "chosen": text, "rejected": text, "source": fault}`.

    The requests and better answers of a split are those of the split of `ToolcallSource` that has
    its name, in their order: what is held out there is held out here. The faults:

        wrong_argument   another number, place or task, from and to exchanged, or a label left out
        wrong_tool       the arguments are handed to another tool
        prose            a sentence, or a refusal, and no call
        talk             the right answer, with talk around it
        needless_call    a call where none is needed

    Args:
        split: 'train', 'validation' (wordings of train, other rows), or 'held_out' (no wording,
            entity, number or talk that train has).
        seed: another seed deals other rows from the same words.
        rows: only the first so many; default: 240 of 450, 24, 120.

    Raises:
        DataError: no such split, or more rows than it has.
    """

    name = "toolcall_pairs"
    splits: ClassVar = {
        "train": Split(_Material(TRAIN, TRAIN_TALK), 0, 450, 240),
        "validation": Split(_Material(TRAIN, TRAIN_TALK), 450, 24, 24),
        "held_out": Split(_Material(HELD_OUT, HELD_OUT_TALK), 0, 120, 120),
    }

    def _series(self, words: _Material, seed: int) -> Iterator[dict[str, Any]]:
        faults = _Faults(words, random.Random(f"toolcall_pairs {seed}"))
        for row in distinct_rows(words.words, random.Random(f"toolcall {seed}")):
            *prompt, answer = row["messages"]
            fault, worse = faults.of(row["kind"], prompt[-1]["content"], answer["content"])
            yield {
                "prompt": prompt,
                "chosen": answer["content"],
                "rejected": worse,
                "source": fault,
            }


class _Faults:
    """Makes the worse answers of a split; the faults of each kind of request come by turns."""

    def __init__(self, material: _Material, rng: random.Random) -> None:
        self._words, self._talk = material
        self._rng = rng
        self._turns: dict[str, int] = {}

    def of(self, kind: str, request: str, answer: str) -> tuple[str, str]:
        """What is wrong with the worse answer, and that answer."""
        faults = FAULTS["no_tool" if kind == "no_tool" else "call"]
        turn = self._turns.setdefault(kind, len(self._turns))  # not all kinds begin with the first
        self._turns[kind] = turn + 1
        fault = faults[turn % len(faults)]
        if fault == "talk":
            return fault, self._with_talk(answer)
        if fault == "needless_call":
            return fault, _written(self._any_call())
        call = json.loads(answer)
        if fault == "prose":
            return fault, self._prose(call)
        made = self._wrong_tool(call) if fault == "wrong_tool" else self._wrong(call, request)
        return fault, _written(made)

    def _with_talk(self, answer: str) -> str:
        opening = self._rng.choice(self._talk.openings)
        closing = self._rng.choice(self._talk.closings)
        return self._rng.choice(
            (f"{opening}{answer}", f"{answer}{closing}", opening + answer + closing)
        )

    def _prose(self, call: Call) -> str:
        texts = (*self._talk.prose[call["name"]], self._rng.choice(self._talk.refusals))
        return self._rng.choice(texts).format(**call["arguments"])

    def _wrong(self, call: Call, request: str) -> Call:
        """The call with one argument that is not what the request says, or without its label."""
        arguments = dict(call["arguments"])
        name = self._rng.choice(list(arguments))
        both = [key for key in arguments if key.startswith(("from_", "to_"))]
        if name in both:
            one, other = both
            arguments[one], arguments[other] = arguments[other], arguments[one]
        elif name == "label" and self._rng.random() < 0.5:
            del arguments[name]
        else:
            arguments[name] = self._other(name, request)
        return call | {"arguments": arguments}

    def _other(self, argument: str, request: str) -> Any:
        """A value that the argument may have, and that does not stand in the request."""
        values: Mapping[str, Sequence[Any]] = {
            "value": self._words.values,
            "minutes": self._words.minutes,
            "city": self._words.cities,
            "date": self._words.dates,
            "label": self._words.labels,
            "task": self._words.tasks,
        }
        while True:
            value = self._rng.choice(values[argument])
            if str(value).lower() not in request.lower():
                return value

    def _any_call(self) -> Call:
        """A call that nobody has asked for, of any tool."""
        words, one = self._words, self._rng.choice
        makers: tuple[Callable[[], Call], ...] = (
            lambda: _call("weather", city=one(words.cities), date=one(words.dates)),
            lambda: _call("timer", minutes=one(words.minutes), label=one(words.labels)),
            lambda: _call("remind", task=one(words.tasks), date=one(words.dates)),
        )
        return one(makers)()

    def _wrong_tool(self, call: Call) -> Call:
        """The call of a tool that sounds like it, with what the request says as its arguments."""
        has = call["arguments"]
        name = call["name"]
        if name in _TWINS:
            tool, its, others = _TWINS[name]
            return _call(tool, **{key.replace(its, others): value for key, value in has.items()})
        if name == "weather":
            return _call("remind", task=has["city"], date=has["date"])
        if name == "timer":
            return _call("remind", task=has.get("label", "timer"), date=f"{has['minutes']} minutes")
        return _call("weather", city=has["task"], date=has["date"])


def _call(name: str, **arguments: Any) -> Call:
    return {"name": name, "arguments": arguments}


def _written(call: Call) -> str:
    return json.dumps(call, ensure_ascii=False)
