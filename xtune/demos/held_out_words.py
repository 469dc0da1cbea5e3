"""The words of the agent demo's held-out rows: how requests are put, by tool and kind.

In a wording, {braces} are slots; the tables: `Wordings`. None is in train_words.py.
"""

from __future__ import annotations

from xtune.demos import toolcall_tables
from xtune.demos.wordings import Wordings, listed

__all__ = ["HELD_OUT"]

HELD_OUT = Wordings(
    calculator={
        "*": (
            "Work out {a} times {b}.",
            "One ticket costs {a}. What do {b} tickets cost?",
            "How many are {a} groups of {b}?",
        ),
        "+": (
            "Work out {a} plus {b}.",
            "One bag weighs {a}, the other {b}. And together?",
            "Together, how many are {a} and {b}?",
        ),
        "-": (
            "Work out {a} minus {b}.",
            "I own {a} books and give {b} away. How many remain?",
            "What is missing from {b} up to {a}?",
        ),
        "/": (
            "Work out {a} divided by {b}.",
            "We split {a} coins into {b} equal piles. How big?",
            "If {b} people share {a} sweets, what does each get?",
        ),
    },
    convert=toolcall_tables.HELD_OUT.wordings["convert"],
    date={
        "weekday": (
            "Was {day} a Monday or what was it?",
            "Find the weekday for {day}.",
            "{day} was which day of the week?",
        ),
        "after": (
            "It is {day}; which date will it be in {n} days?",
            "{day} plus {n} days is when?",
            "The concert is {n} days after {day}. Which date is that?",
        ),
        "before": (
            "It is {day}; which date was it {n} days ago?",
            "{day} minus {n} days is when?",
            "I must reply {n} days before {day}. By which date?",
        ),
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
            "What would the height of {name} be in {to_unit}?",
            "Please find out how tall {name} is, and say it in {to_unit}.",
        ),
        "search calculator": (
            "Look up the height of {name} and multiply it by {b}.",
            "Imagine {name} were {b} times as tall. How tall would it be?",
            "Someone builds {b} towers like {name}, one above another. What height is that?",
            "{b} times as high as {name}: how many metres is it?",
        ),
        "calculator convert": (
            "Work out {a} times {b} {from_unit} and give it in {to_unit}.",
            "There are {a} bottles with {b} {from_unit} each; I want the total in {to_unit}.",
            "Take {a} portions of {b} {from_unit} and express the total in {to_unit}.",
            "{a} pieces, {b} {from_unit} each: how many {to_unit} are they together?",
        ),
        "calculator timer": (
            "I do {a} exercises of {b} minutes each. Time the whole workout.",
            "Please time {a} times {b} minutes.",
            "Put {a} laps of {b} minutes each on the clock.",
            "My lesson has {a} parts of {b} minutes each. I want a timer for all of it.",
        ),
    },
    joins=(
        "{first} Then: {second}",
        "I have two questions. {first} {second}",
        "{first} When you have that: {second}",
    ),
    words=toolcall_tables.HELD_OUT,
    openings=("",),
    requests=(1,),
    unknown=listed("Marvopel, Quissan, Ebbelo, Trondix, Sullavar, Kesperim, Bodrane, Aluvish"),
    kinds=listed("single, nested, single, parallel, nested, no_tool, single, error"),
    tools=listed("calculator, convert, date, timer, search"),
)
