"""How much of one token list is in another: ROUGE-1, -2, -L, and F1 by the longest common run.

All take tokens from outside (`words.py`), so that they know no language.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Overlap", "f1_of_words", "longest_run", "rouge_l", "rouge_n"]


class Overlap(NamedTuple):
    """Shares of the answer's and of the reference's tokens that both have, and their mean."""

    precision: float
    recall: float
    f1: float


def rouge_n(answer: Sequence[str], reference: Sequence[str], n: int) -> Overlap:
    """Compare runs of `n` tokens, each counted as often as both have it.

    Args:
        answer: its tokens.
        reference: likewise.
        n: 1 for ROUGE-1.
    """
    ours, theirs = (
        Counter(tuple(tokens[at : at + n]) for at in range(len(tokens) - n + 1))
        for tokens in (answer, reference)
    )
    return _overlap((ours & theirs).total(), ours.total(), theirs.total())


def rouge_l(answer: Sequence[str], reference: Sequence[str]) -> Overlap:
    """Compare by the longest list of tokens that both have in this order, gaps allowed.

    Args:
        answer: its tokens.
        reference: likewise.
    """
    lengths = [0] * (len(reference) + 1)
    for token in answer:
        diagonal = 0
        for at, other in enumerate(reference, 1):
            best = diagonal + 1 if token == other else max(lengths[at], lengths[at - 1])
            diagonal, lengths[at] = lengths[at], best
    return _overlap(lengths[-1], len(answer), len(reference))


def longest_run(answer: Sequence[str], reference: Sequence[str]) -> Overlap:
    """Compare by the longest run that both have without a gap, as CMRC's own script does.

    Args:
        answer: its tokens.
        reference: likewise.
    """
    longest, before = 0, [0] * (len(reference) + 1)
    for token in answer:
        here = [0] * (len(reference) + 1)
        for at, other in enumerate(reference, 1):
            if token == other:
                here[at] = before[at - 1] + 1
                longest = max(longest, here[at])
        before = here
    return _overlap(longest, len(answer), len(reference))


def f1_of_words(answer: Sequence[str], reference: Sequence[str]) -> float:
    """Return F1 of tokens in any order, as SQuAD has it; two empty lists agree.

    Args:
        answer: its tokens.
        reference: likewise.
    """
    if not answer and not reference:
        return 1.0
    return rouge_n(answer, reference, 1).f1


def _overlap(common: int, ours: int, theirs: int) -> Overlap:
    if not common:
        return Overlap(0.0, 0.0, 0.0)
    precision, recall = common / ours, common / theirs
    return Overlap(precision, recall, 2 * precision * recall / (precision + recall))
