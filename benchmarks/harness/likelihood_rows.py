"""Requests in the forms of published benchmarks, made from a seed: contexts and continuations.

The words are stretches of the Python language's reference, which every Python has with it; lengths,
forms and what is shared are those of the real rows: MMLU with five shots of its subject; HellaSwag,
whose endings are long, two thirds of them WikiHow's; PIQA's two solutions; TruthfulQA's options
behind six fixed questions.
"""

from __future__ import annotations

import random
import re
from pydoc_data.topics import topics

__all__ = ["five_shot_letters", "hellaswag_like", "zero_shot_mix"]

Pair = tuple[str, str]

_LETTERS = "ABCD"


class _Writer:
    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)
        # words of prose: code and signs are left out
        text = " ".join(topics[name] for name in sorted(topics))
        self._text = re.findall(r"(?<!\S)[A-Za-z]+[,;]?(?!\S)", text)

    def words(self, least: int, most: int) -> str:
        """A stretch of neighbours."""
        count = self._draw.randint(least, most)
        begin = self._draw.randrange(len(self._text) - count)
        return " ".join(self._text[begin : begin + count]).rstrip(",;")

    def question(self) -> str:
        options = "".join(f"\n{letter}. {self.words(2, 7)}" for letter in _LETTERS)
        return f"{self.words(20, 40).capitalize()}?{options}\nAnswer:"

    def letter(self) -> str:
        return self._draw.choice(_LETTERS)

    def chance(self, share: float) -> bool:
        return self._draw.random() < share


def five_shot_letters(seed: int, *, items: int = 36, subjects: int = 3) -> list[Pair]:
    """MMLU-like: four requests an item, five shots before each item of a subject.

    Args:
        seed: of the words.
        items: in all.
        subjects: among which they are shared out.
    """
    write = _Writer(seed)
    pairs = []
    for _ in range(subjects):
        head = (
            f"The following are multiple choice questions (with answers) about {write.words(1, 2)}."
        )
        shots = "".join(f"{write.question()} {write.letter()}\n\n" for _ in range(5))
        for _ in range(items // subjects):
            context = f"{head}\n\n{shots}{write.question()}"
            pairs += [(context, f" {letter}") for letter in _LETTERS]
    return pairs


def hellaswag_like(seed: int, *, items: int = 24) -> list[Pair]:
    """A context and four endings an item.

    Args:
        seed: of the words.
        items: how many.
    """
    write = _Writer(seed)
    pairs = []
    for _ in range(items):
        wikihow = write.chance(0.67)
        size, ending = ((45, 75), (22, 36)) if wikihow else ((18, 34), (8, 16))
        context = f"{write.words(2, 4).capitalize()}: {write.words(*size).capitalize()}."
        pairs += [(context, f" {write.words(*ending).capitalize()}.") for _ in range(4)]
    return pairs


def zero_shot_mix(seed: int) -> list[Pair]:
    """94 requests of 26 items: 6 of HellaSwag, 8 of PIQA, 6 of TruthfulQA, 6 of MMLU.

    Args:
        seed: of the words.
    """
    write = _Writer(seed)
    pairs = hellaswag_like(seed, items=6)
    for _ in range(8):
        context = f"Question: {write.words(6, 14).capitalize()}?\nAnswer:"
        pairs += [(context, f" {write.words(12, 28).capitalize()}.") for _ in range(2)]
    fixed = "".join(
        f"Q: {write.words(6, 12).capitalize()}?\nA: {write.words(6, 12).capitalize()}.\n\n"
        for _ in range(6)
    )
    for number in range(6):
        context = f"{fixed}Q: {write.words(8, 14).capitalize()}?\nA:"
        options = 5 + (number % 3 == 0)
        pairs += [(context, f" {write.words(6, 12).capitalize()}.") for _ in range(options)]
    head = "The following are multiple choice questions (with answers) about the world.\n\n"
    for _ in range(6):
        context = head + write.question()
        pairs += [(context, f" {letter}") for letter in _LETTERS]
    return pairs[:94]
