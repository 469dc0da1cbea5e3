"""Pairs of answers of realistic lengths, from a seed.

Prompts have 50 to 400 tokens, answers 20 to 200.
Both lengths are drawn evenly on a logarithmic scale, chosen and rejected apart, so that no two rows
are alike and the sides of a pair are of uneven length. The words are drawn as `alpaca_like`'s are.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from harness.alpaca_like import drawn, words_of

__all__ = ["pairs"]

_TOKENS_PER_WORD = 1.25  # of SmolLM2's tokenizer on these words


def pairs(
    count: int,
    *,
    tokenizer_file: Path,
    prompt: tuple[int, int] = (50, 400),
    answer: tuple[int, int] = (20, 200),
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Return rows of prompt, chosen and rejected, each a list of messages.

    Args:
        count: pairs.
        tokenizer_file: a tokenizer.json, whose vocabulary gives the words.
        prompt: tokens of the shortest and the longest prompt, about.
        answer: of the shortest and the longest answer, about.
        seed: equal seeds give equal rows.
    """
    random = np.random.default_rng(seed)
    words = words_of(tokenizer_file)

    def text(bounds: tuple[int, int]) -> str:
        tokens = np.exp(random.uniform(*np.log(bounds)))
        dice = random.random(max(1, round(tokens / _TOKENS_PER_WORD)))
        return " ".join(drawn(words, dice)).capitalize() + "."

    return [
        {
            "prompt": [{"role": "user", "content": text(prompt)}],
            "chosen": [{"role": "assistant", "content": text(answer)}],
            "rejected": [{"role": "assistant", "content": text(answer)}],
        }
        for _ in range(count)
    ]
