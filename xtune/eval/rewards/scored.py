"""`ScoredAnswer`: an answer with its score, and the pairs that the answers to a prompt make."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

__all__ = ["ScoredAnswer", "ScoredPair", "pairs_of_answers"]


@dataclass(frozen=True, slots=True)
class ScoredAnswer:
    """An answer to a prompt.

    Attributes:
        item: number of its row, from 0; those of one row follow each other.
        where: the row is: 'data.jsonl:3'.
        source: where the row comes from, by its own words; '' if it does not say.
        rank: its place by the data, 0 the best; equal ranks are equally good.
        score: by the model, its shift subtracted.
        tokens: of the answer.
        ended: it ends as the model's training answers do.
        safe: 1 if the data say that it is safe, -1 if not, 0 if they do not say.
        prompt: for people.
        answer: for people.
    """

    item: int
    where: str
    source: str
    rank: int
    score: float
    tokens: int
    ended: bool = True
    safe: int = 0
    prompt: str = ""
    answer: str = ""


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """Two answers to a prompt, of which the data prefer one.

    Attributes:
        better: the one that they prefer.
        worse: the other.
        ahead: by how much the model prefers it too; below 0 it is wrong.
        share: 1 / number of pairs of the prompt.
    """

    better: ScoredAnswer
    worse: ScoredAnswer
    ahead: float
    share: float


def pairs_of_answers(answers: Sequence[ScoredAnswer], *, is_cost: bool) -> Iterator[ScoredPair]:
    """Yield all pairs of each prompt's answers whose ranks differ.

    Args:
        answers: those of one row follow each other.
        is_cost: the lower score is the better one.
    """
    for _, of_row in groupby(answers, key=lambda answer: answer.item):
        both = list(of_row)
        found = [(one, other) for one in both for other in both if one.rank < other.rank]
        for better, worse in found:
            ahead = worse.score - better.score if is_cost else better.score - worse.score
            yield ScoredPair(better, worse, ahead, 1 / len(found))
