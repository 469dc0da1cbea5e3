"""Rows like Alpaca's, as many as wanted, from a seed: lengths and frequencies of words as theirs.

52,002 rows of Alpaca have some 100 tokens each in SmolLM2's chat format, with a long tail; two
in five have an input. Here the words are pieces of the model's own vocabulary, drawn by Zipf's law
in the order in which its tokenizer learnt them, which is by frequency; every eighth is two of them
written as one, which the tokenizer has to take apart.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

__all__ = ["drawn", "words_of", "write_rows"]

_BLOCK = 10_000  # rows that are drawn at once


def write_rows(path: Path, count: int, *, tokenizer_file: Path, seed: int = 0) -> None:
    """Write JSON lines of {instruction, input, output}.

    Args:
        path: where to.
        count: rows.
        tokenizer_file: a tokenizer.json, whose vocabulary gives the words.
        seed: equal seeds give equal rows.
    """
    words = words_of(tokenizer_file)
    random = np.random.default_rng(seed)
    with open(path, "w", encoding="utf-8") as file:
        while count > 0:
            for row in _rows(min(count, _BLOCK), words, random):
                file.write(json.dumps(row) + "\n")
            count -= _BLOCK


def words_of(tokenizer_file: Path) -> np.ndarray:
    """Return the words of a vocabulary, the most frequent first."""
    vocabulary = json.loads(tokenizer_file.read_text(encoding="utf-8"))["model"]["vocab"]
    in_order = sorted(vocabulary, key=vocabulary.__getitem__)
    pieces = (piece.removeprefix("Ġ") for piece in in_order if piece.startswith("Ġ"))  # a space
    return np.array(
        [piece for piece in pieces if len(piece) > 2 and piece.isascii() and piece.isalpha()]
    )


def drawn(words: np.ndarray, dice: np.ndarray) -> np.ndarray:
    """Return a word for each number between 0 and 1, frequent ones more often."""
    frequencies = np.cumsum(1 / (np.arange(len(words)) + 2.7))  # as Mandelbrot corrected Zipf
    return words[np.searchsorted(frequencies, dice * frequencies[-1])]


def _rows(count: int, words: np.ndarray, random: np.random.Generator) -> Iterator[dict[str, str]]:
    lengths = {
        "instruction": np.clip(random.lognormal(2.3, 0.45, count), 3, 60).astype(int),
        "input": np.clip(random.lognormal(2.2, 0.9, count), 1, 200).astype(int)
        * (random.random(count) < 0.4),
        "output": np.clip(random.lognormal(3.4, 1.0, count), 1, 500).astype(int),
    }
    total = sum(int(values.sum()) for values in lengths.values())
    text = drawn(words, random.random(total))
    joined = random.random(total) < 1 / 8
    text = np.where(joined, np.char.add(text, np.roll(text, 1)), text).tolist()
    ends = random.random(total) < 1 / 12  # of sentences
    place = 0
    for row in range(count):
        made = {}
        for field, values in lengths.items():
            chosen = slice(place, place := place + int(values[row]))
            parts = [
                f"{word}." if end else word
                for word, end in zip(text[chosen], ends[chosen].tolist(), strict=True)
            ]
            made[field] = " ".join(parts).capitalize()
        yield made
