"""Two orders of a pair as one match, and the plain means over matches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from xtune.eval.judge.forms import Verdict, preference
from xtune.eval.judge.requests import Plan, Request

__all__ = [
    "Match",
    "PositionBias",
    "match_of",
    "matches_of_pairs",
    "matches_of_ratings",
    "micro_macro",
    "position_bias",
]


@dataclass(frozen=True, slots=True)
class Match:
    """Two models' answers to one question, judged.

    Attributes:
        question: its id.
        kind: general, math or coding.
        category: as the file names it.
        models: the pair, in the order of the files.
        outcome: 1 if the first is better, 0 if the second is, 0.5 if neither.
        scores: of each; () where the judge gives none.
        longer: characters of the first's answer minus those of the second's.
        flipped: each order has another winner.
        placed: score of the answer in the first place minus that in the second, mean of both
            orders; of a verdict without scores 1, 0 or -1 for who won.
    """

    question: str
    kind: str
    category: str
    models: tuple[str, str]
    outcome: float
    scores: tuple[float, ...] = ()
    longer: int = 0
    flipped: bool = False
    placed: float = 0.0


@dataclass(frozen=True, slots=True)
class PositionBias:
    """What the place of an answer does to its verdict.

    Attributes:
        flipped: share of matches whose two orders have different winners.
        first_place: mean advantage of the first place, in points; without scores, share of
            verdicts for the first place minus share of those for the second.
        matches: counted.
    """

    flipped: float
    first_place: float
    matches: int


def match_of(request: Request, straight: Verdict, swapped: Verdict) -> Match:
    """Join the two orders of a pair.

    With scores, a model's score is the mean of both orders and the higher one wins; of verdicts
    without scores a win counts only if both orders agree, else it is a tie.

    Args:
        request: with the first file's answer first.
        straight: its verdict.
        swapped: that of the request with the answers changed round.
    """
    scores: tuple[float, ...] = ()
    seen = (straight.preference, 1.0 - swapped.preference)
    if straight.scores:
        scores = (
            (straight.scores[0] + swapped.scores[1]) / 2,
            (straight.scores[1] + swapped.scores[0]) / 2,
        )
        outcome = preference(*scores)
        places = [s.scores[0] - s.scores[1] for s in (straight, swapped)]
    else:
        outcome = seen[0] if seen[0] == seen[1] else 0.5
        places = [2 * s.preference - 1 for s in (straight, swapped)]
    one, other = request.shown
    return Match(
        question=request.question,
        kind=request.kind,
        category=request.category,
        models=(one, other),
        outcome=outcome,
        scores=scores,
        longer=len(request.items[0].answers[-1]) - len(request.items[1].answers[-1]),
        flipped=set(seen) == {0.0, 1.0},
        placed=sum(places) / 2,
    )


def matches_of_pairs(
    requests: Sequence[Request], verdicts: Sequence[Verdict | None]
) -> tuple[list[Match], int]:
    """Return the matches of pairwise requests, and the number of those that miss an order.

    Args:
        requests: the two orders of a pair next to each other.
        verdicts: one for each; None where there is none.
    """
    found, incomplete = [], 0
    for at in range(0, len(requests), 2):
        straight, swapped = verdicts[at : at + 2]
        if straight is None or swapped is None:
            incomplete += 1
        else:
            found.append(match_of(requests[at], straight, swapped))
    return found, incomplete


def matches_of_ratings(
    plan: Plan, ratings: Mapping[tuple[str, str], tuple[Request, Verdict]]
) -> list[Match]:
    """Return the matches that ratings of single answers make: the higher one wins.

    Args:
        plan: of ratings.
        ratings: by model and question.
    """
    found = []
    for one, other in plan.pairs:
        for (name, question), (request, verdict) in ratings.items():
            if name != one or (other, question) not in ratings:
                continue
            opponent, against = ratings[other, question]
            scores = (verdict.scores[0], against.scores[0])
            found.append(
                Match(
                    question=question,
                    kind=request.kind,
                    category=request.category,
                    models=(one, other),
                    outcome=preference(*scores),
                    scores=scores,
                    longer=len(request.items[0].answers[-1]) - len(opponent.items[0].answers[-1]),
                )
            )
    return found


def position_bias(matches: Sequence[Match]) -> PositionBias | None:
    """Return what the place of an answer does; None without a match.

    Args:
        matches: of pairwise verdicts.
    """
    if not matches:
        return None
    return PositionBias(
        flipped=sum(match.flipped for match in matches) / len(matches),
        first_place=sum(match.placed for match in matches) / len(matches),
        matches=len(matches),
    )


def micro_macro(groups: Iterable[tuple[float, int]]) -> tuple[float, float]:
    """Return the mean weighted by size, and the plain mean of groups.

    >>> micro_macro([(8.0, 3), (2.0, 1)])
    (6.5, 5.0)

    Args:
        groups: mean and size of each; at least one, none empty.
    """
    means, sizes = zip(*groups, strict=True)
    micro = sum(mean * size for mean, size in zip(means, sizes, strict=True)) / sum(sizes)
    return micro, sum(means) / len(means)
