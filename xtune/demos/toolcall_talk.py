"""What the worse answers of the toolcall pairs say: talk around a call, and talk in its place.

`TRAIN_TALK` and `HELD_OUT_TALK` share no sentence (a test compares them). {braces} are slots.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["HELD_OUT_TALK", "TRAIN_TALK", "Talk"]


@dataclass(frozen=True, kw_only=True)
class Talk:
    """The sentences of one split.

    Attributes:
        openings: before a call or a reply.
        closings: after it.
        prose: instead of a call, by tool.
        refusals: instead of a call, of any tool.
    """

    openings: tuple[str, ...]
    closings: tuple[str, ...]
    prose: Mapping[str, tuple[str, ...]]
    refusals: tuple[str, ...]


TRAIN_TALK = Talk(
    openings=(
        "Sure! ",
        "Of course, here it is: ",
        "Certainly! Here you are: ",
        "I would be happy to help. ",
        "Great question! ",
        "No problem, let me do that for you. ",
    ),
    closings=(
        " Let me know if you need anything else!",
        " I hope this helps.",
        " Is there anything else that I can do for you today?",
        " Please feel free to ask me more.",
        " Have a wonderful day!",
        " I am always here to help.",
    ),
    prose={
        "convert": (
            "To convert {from_unit} to {to_unit}, use the conversion factor.",
            "{value} {from_unit} is about {value} {to_unit}.",
            "You can find a table of {from_unit} and {to_unit} in most books.",
        ),
        "exchange": (
            "The exchange rate of {from_currency} to {to_currency} changes every day.",
            "{value} {from_currency} is roughly {value} {to_currency}.",
            "Please ask your bank how many {to_currency} you get.",
        ),
        "weather": (
            "The weather in {city} is usually mild.",
            "It will be sunny in {city}, with a light breeze.",
            "I suggest that you take a jacket to {city}.",
        ),
        "timer": (
            "I will tell you after {minutes} minutes.",
            "The timer is set for {minutes} minutes.",
            "You could use the clock of your phone for {minutes} minutes.",
        ),
        "remind": (
            "I will remind you to {task}.",
            "It is a good idea to {task}.",
            "I have added it to your calendar.",
        ),
    },
    refusals=(
        "I have no tool for that.",
        "I am sorry, I cannot help with that.",
        "As a language model I cannot do this.",
    ),
)

HELD_OUT_TALK = Talk(
    openings=(
        "Absolutely! ",
        "Happy to assist, have a look at this: ",
        "Okay, let us see. ",
    ),
    closings=(
        " Do you have other questions?",
        " Just tell me if something is missing.",
        " It was a pleasure to assist you.",
    ),
    prose={
        "convert": (
            "Multiply the number of {from_unit} to get {to_unit}.",
            "I think that {value} {from_unit} are some {to_unit}.",
        ),
        "exchange": (
            "For {value} {from_currency} you will get many {to_currency}.",
            "Look at the rates of {to_currency} in the newspaper.",
        ),
        "weather": (
            "{city} is lovely at that time, and mostly dry.",
            "You may expect some clouds over {city}.",
        ),
        "timer": (
            "Fine, {minutes} minutes start now!",
            "I am counting the {minutes} minutes.",
        ),
        "remind": (
            "Noted: you want to {task}.",
            "Do not forget to {task}!",
        ),
    },
    refusals=(
        "Unfortunately I do not know how to do it.",
        "This is not possible for me.",
    ),
)
