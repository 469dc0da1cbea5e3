"""The words of the agent demo's rows: how requests are put, by tool and kind.

`TRAIN` and `HELD_OUT` share no wording; numbers, labels and small talk come from the toolcall
demo's tables, which share none either. In a wording, {braces} are slots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from xtune.data.sources import toolcall_tables

__all__ = ["HELD_OUT", "TRAIN", "Wordings"]


@dataclass(frozen=True, kw_only=True)
class Wordings:
    """How one split puts its requests.

    Attributes:
        calculator: by operator.
        date: by what is asked: 'weekday', 'after' or 'before'.
        search: by what is asked of a building.
        error: requests that a tool will refuse, by tool; 'search' finds nothing.
        repair: requests whose first call was wrong, by tool.
        nested: by the two tools, the first's result goes into the second's call.
        joins: two requests in one, {first} and {second} being whole sentences.
        words: numbers, labels, names and small talk.
        unknown: names that no note has.
    """

    calculator: Mapping[str, tuple[str, ...]]
    convert: tuple[str, ...]
    date: Mapping[str, tuple[str, ...]]
    timer: tuple[str, ...]
    search: Mapping[str, tuple[str, ...]]
    error: Mapping[str, tuple[str, ...]]
    repair: Mapping[str, tuple[str, ...]]
    nested: Mapping[str, tuple[str, ...]]
    joins: tuple[str, ...]
    words: toolcall_tables.Words
    unknown: tuple[str, ...]


def _each(listed: str) -> tuple[str, ...]:
    return tuple(listed.split(", "))


TRAIN = Wordings(
    calculator={
        "*": (
            "What is {a} times {b}?",
            "Multiply {a} by {b}.",
            "{a} * {b}",
            "How much is {a} multiplied by {b}?",
            "A box holds {a} eggs. How many eggs are in {b} boxes?",
        ),
        "+": (
            "What is {a} plus {b}?",
            "Add {a} and {b}.",
            "{a} + {b}",
            "What is the sum of {a} and {b}?",
            "I had {a} stamps and got {b} more. How many are there now?",
        ),
        "-": (
            "What is {a} minus {b}?",
            "Subtract {b} from {a}.",
            "{a} - {b}",
            "Take {b} away from {a}.",
            "Of {a} tickets {b} are sold. How many are left?",
        ),
        "/": (
            "What is {a} divided by {b}?",
            "Divide {a} by {b}.",
            "{a} / {b}",
            "Share {a} apples among {b} people.",
            "How often does {b} go into {a}?",
        ),
    },
    convert=toolcall_tables.TRAIN.wordings["convert"],
    date={
        "weekday": (
            "What day of the week is {day}?",
            "Which weekday was {day}?",
            "Tell me the weekday of {day}.",
            "On what day does {day} fall?",
        ),
        "after": (
            "What date is {n} days after {day}?",
            "Add {n} days to {day}.",
            "Which day comes {n} days after {day}?",
            "I order on {day} and wait {n} days. When does it arrive?",
        ),
        "before": (
            "What date is {n} days before {day}?",
            "Go back {n} days from {day}.",
            "Which day was {n} days before {day}?",
            "The exam is on {day}. I begin {n} days before; when is that?",
        ),
    },
    timer=toolcall_tables.TRAIN.wordings["timer"],
    search={
        "height": (
            "How tall is {name}?",
            "What is the height of {name}?",
            "Tell me how high {name} is.",
            "How many metres tall is {name}?",
        ),
        "year": (
            "When was {name} finished?",
            "In which year was {name} finished?",
            "Since when does {name} stand?",
            "What year is {name} from?",
        ),
        "designer": (
            "Who designed {name}?",
            "Whose design is {name}?",
            "Name the designer of {name}.",
            "Who is the architect of {name}?",
        ),
        "place": (
            "Where does {name} stand?",
            "In which place is {name}?",
            "Where can I find {name}?",
            "Tell me the town of {name}.",
        ),
        "colour": (
            "What colour is {name}?",
            "How is {name} painted?",
            "Which colour does {name} have?",
            "In what colour is {name} painted?",
        ),
    },
    error={
        "convert": (
            "Convert {value} {from_unit} to {to_unit}.",
            "How many {to_unit} are {value} {from_unit}?",
            "What is {value} {from_unit} in {to_unit}?",
            "Please turn {value} {from_unit} into {to_unit}.",
        ),
        "calculator": (
            "What is {a} divided by 0?",
            "Divide {a} by zero.",
            "{a} / 0",
            "Share {a} apples among 0 people.",
        ),
        "timer": (
            "Set a timer for {minutes} minutes.",
            "Count down {minutes} minutes.",
            "Timer: {minutes} minutes.",
            "Start a {minutes} minute timer.",
        ),
        "search": (
            "How tall is {name}?",
            "Who designed {name}?",
            "Where does {name} stand?",
            "When was {name} finished?",
        ),
    },
    repair={
        "date": (
            "What day of the week is {said}?",
            "Which weekday was {said}?",
            "Tell me the weekday of {said}.",
        ),
        "calculator": (
            "What is {a} x {b}?",
            "Compute {a} x {b}.",
            "How much is {a} x {b}?",
        ),
    },
    nested={
        "search convert": (
            "How tall is {name} in {to_unit}?",
            "What is the height of {name} in {to_unit}?",
            "Give me the height of {name}, in {to_unit} please.",
            "I need the height of {name} as {to_unit}.",
            "How many {to_unit} high is {name}?",
        ),
        "search calculator": (
            "How tall are {b} of {name} on top of each other?",
            "What is {b} times the height of {name}?",
            "Multiply the height of {name} by {b}.",
            "Take the height of {name} times {b}.",
        ),
        "calculator convert": (
            "Convert {a} times {b} {from_unit} to {to_unit}.",
            "What is {a} times {b} {from_unit} in {to_unit}?",
            "I have {a} boxes of {b} {from_unit} each. How many {to_unit} is that?",
            "Multiply {a} by {b}, and convert that many {from_unit} to {to_unit}.",
        ),
        "calculator timer": (
            "Set a timer for {a} times {b} minutes.",
            "Start a timer: {a} rounds of {b} minutes each.",
            "I bake {a} trays, {b} minutes each. Set a timer for all of them.",
            "Multiply {a} by {b} and count down that many minutes.",
        ),
    },
    joins=(
        "{first} {second}",
        "{first} And also: {second}",
        "Two things. {first} {second}",
        "{first} Besides, {second}",
        "First: {first} Second: {second}",
    ),
    words=toolcall_tables.TRAIN,
    unknown=_each(
        "Plumora, Sestik, Vandolo, Crimble, Otterix, Yalmund, Dosper, Kriffa, Wendalo, Bruxley, "
        "Tomarin, Jespa, Ilvorn, Gassaby, Nurzel, Hodrick, Fanzia, Lumbart, Prisco, Zendry"
    ),
)
HELD_OUT = Wordings(
    calculator={
        "*": ("Work out {a} times {b}.", "One ticket costs {a}. What do {b} tickets cost?"),
        "+": ("Work out {a} plus {b}.", "One bag weighs {a}, the other {b}. And together?"),
        "-": ("Work out {a} minus {b}.", "I own {a} books and give {b} away. How many remain?"),
        "/": ("Work out {a} divided by {b}.", "We split {a} coins into {b} equal piles. How big?"),
    },
    convert=toolcall_tables.HELD_OUT.wordings["convert"],
    date={
        "weekday": ("Was {day} a Monday or what was it?", "Find the weekday for {day}."),
        "after": (
            "It is {day}; which date will it be in {n} days?",
            "{day} plus {n} days is when?",
        ),
        "before": ("It is {day}; which date was it {n} days ago?", "{day} minus {n} days is when?"),
    },
    timer=toolcall_tables.HELD_OUT.wordings["timer"],
    search={
        "height": ("Do you know how tall {name} is?", "Look up the height of {name}."),
        "year": ("Do you know when {name} was finished?", "Look up the year of {name}."),
        "designer": ("Do you know who designed {name}?", "Look up the designer of {name}."),
        "place": ("Do you know where {name} stands?", "Look up the place of {name}."),
        "colour": ("Do you know the colour of {name}?", "Look up the colour of {name}."),
    },
    error={
        "convert": ("Could I have {value} {from_unit} as {to_unit}?",),
        "calculator": ("Work out {a} divided by 0.",),
        "timer": ("Please time {minutes} minutes.",),
        "search": ("Do you know how tall {name} is?", "Look up the designer of {name}."),
    },
    repair={
        "date": ("Find the weekday for {said}.",),
        "calculator": ("Work out {a} x {b}.",),
    },
    nested={
        "search convert": (
            "Look up the height of {name} and tell me it in {to_unit}.",
            "Do you know how many {to_unit} tall {name} is?",
        ),
        "search calculator": (
            "Look up the height of {name} and multiply it by {b}.",
            "Imagine {name} were {b} times as tall. How tall would it be?",
        ),
        "calculator convert": (
            "Work out {a} times {b} {from_unit} and give it in {to_unit}.",
            "There are {a} bottles with {b} {from_unit} each; I want the total in {to_unit}.",
        ),
        "calculator timer": (
            "I do {a} exercises of {b} minutes each. Time the whole workout.",
            "Please time {a} times {b} minutes.",
        ),
    },
    joins=("{first} Then: {second}", "I have two questions. {first} {second}"),
    words=toolcall_tables.HELD_OUT,
    unknown=_each("Marvopel, Quissan, Ebbelo, Trondix, Sullavar, Kesperim, Bodrane, Aluvish"),
)
