"""Measures that need no reference: how varied answers are, how long, how many cut or empty.

They stand next to BLEU and ROUGE, which a model that says one thing again and again can please.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

__all__ = ["distinct", "shape_of"]


class _Text(Protocol):
    @property
    def text(self) -> str: ...
    @property
    def ended_by(self) -> str: ...
    @property
    def tokens(self) -> int: ...


def distinct(answers: Sequence[Sequence[str]], n: int) -> float:
    """Return the share of different runs of `n` tokens among all of them, over all answers.

    Args:
        answers: tokens of each.
        n: 1 or 2 mostly.

    Returns:
        0 where there is no run of `n` tokens.
    """
    runs = [tuple(tokens[at : at + n]) for tokens in answers for at in range(len(tokens) - n + 1)]
    return len(set(runs)) / len(runs) if runs else 0.0


def shape_of(answers: Sequence[_Text]) -> dict[str, float]:
    """Return `mean_tokens`, and the shares `cut` by the length limit and `empty`.

    Args:
        answers: with text, ended_by and tokens; at least one.
    """
    count = len(answers)
    return {
        "mean_tokens": sum(answer.tokens for answer in answers) / count,
        "cut": sum(answer.ended_by == "length" for answer in answers) / count,
        "empty": sum(not answer.text.strip() for answer in answers) / count,
    }
