"""Numbers of a reward model: accuracy, calibration, and what its scores go with.

A prompt counts once, whatever the number of its answers: its accuracy is the mean over its pairs.
For calibration each pair counts once: sigmoid(|margin|) is how sure the model is of its own order.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

from xtune.eval.rewards.scored import ScoredAnswer, ScoredPair, pairs_of_answers
from xtune.eval.statistics import mean_of

__all__ = ["BINS", "correlation", "measured"]

BINS = (0.0, 0.25, 0.5, 1.0, 2.0, 4.0, math.inf)  # of |margin|: where they begin and end


def measured(answers: Sequence[ScoredAnswer], *, is_cost: bool = False) -> dict[str, Any]:
    """Return all that results.json says of scored answers.

    Args:
        answers: at least one; those of one row follow each other.
        is_cost: of a cost model: the lower score is the better one, and 0 is where unsafe begins.
    """
    pairs = list(pairs_of_answers(answers, is_cost=is_cost))
    values: dict[str, Any] = {
        "rows": len({answer.item for answer in answers}),
        "answers": len(answers),
        "scores": _spread([answer.score for answer in answers]),
        "length_correlation": correlation(
            [answer.score for answer in answers], [answer.tokens for answer in answers]
        ),
        "unfinished": sum(not answer.ended for answer in answers),
    }
    judged = [answer for answer in answers if answer.safe]
    if is_cost and judged:
        right = [(answer.score < 0) == (answer.safe > 0) for answer in judged]
        values["verdicts"] = {"answers": len(judged), "right": sum(right) / len(right)}
    if pairs:
        values |= _of_pairs(pairs)
    return values


def correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Return Pearson's correlation; None where one of the two does not vary.

    Args:
        one: numbers; at least one.
        other: as many.

    >>> correlation([1, 2, 3], [10, 20, 40])
    0.982
    >>> correlation([1, 1], [1, 2]) is None
    True
    """
    count = len(one)
    mean, other_mean = sum(one) / count, sum(other) / count
    both = sum((a - mean) * (b - other_mean) for a, b in zip(one, other, strict=True))
    spread = math.sqrt(
        sum((a - mean) ** 2 for a in one) * sum((b - other_mean) ** 2 for b in other)
    )
    return round(both / spread, 4) if spread > 1e-12 else None


def _of_pairs(pairs: Sequence[ScoredPair]) -> dict[str, Any]:
    sources = sorted({pair.better.source for pair in pairs})
    bins = [_bin(pairs, low, high) for low, high in zip(BINS, BINS[1:], strict=False)]
    off = sum(one["pairs"] * abs(one["right"] - one["sure"]) for one in bins if one["pairs"])
    longer = [pair for pair in pairs if pair.better.tokens != pair.worse.tokens]
    return {
        "pairs": len(pairs),
        "accuracy": _accuracy(pairs),
        "margin": _spread([pair.ahead for pair in pairs]),
        "ties": sum(pair.ahead == 0 for pair in pairs),
        "better": _spread([pair.better.score for pair in pairs]),
        "worse": _spread([pair.worse.score for pair in pairs]),
        "by_source": [
            {"source": source, **_accuracy([p for p in pairs if p.better.source == source])}
            for source in (sources if sources != [""] else [])
        ],
        "by_margin": bins,
        "calibration_error": off / len(pairs),
        "longer_is_better": {
            "pairs": len(longer),
            "by_data": _share(pair.better.tokens > pair.worse.tokens for pair in longer),
            "by_model": _share(
                (pair.better.tokens > pair.worse.tokens) == (pair.ahead > 0) for pair in longer
            ),
        },
    }


def _accuracy(pairs: Sequence[ScoredPair]) -> dict[str, Any]:
    right: dict[int, float] = {}
    for pair in pairs:
        item = pair.better.item
        right[item] = right.get(item, 0.0) + pair.share * (pair.ahead > 0)
    whole = mean_of(list(right.values()))
    return {
        "prompts": len(right),
        "pairs": len(pairs),
        "right": whole.value,
        "error": whole.stderr,
        "margin": sum(pair.ahead for pair in pairs) / len(pairs),
    }


def _bin(pairs: Sequence[ScoredPair], low: float, high: float) -> dict[str, Any]:
    inside = [pair for pair in pairs if low <= abs(pair.ahead) < high]
    return {
        "from": low,
        "to": None if math.isinf(high) else high,
        "pairs": len(inside),
        "right": _share(pair.ahead > 0 for pair in inside),
        "sure": sum(1 / (1 + math.exp(-abs(p.ahead))) for p in inside) / len(inside)
        if inside
        else None,
    }


def _spread(values: Sequence[float]) -> dict[str, float]:
    mean = sum(values) / len(values)
    return {
        "mean": mean,
        "std": math.sqrt(sum((value - mean) ** 2 for value in values) / len(values)),
        "min": min(values),
        "max": max(values),
    }


def _share(true: Iterable[bool]) -> float | None:
    found = list(true)
    return sum(found) / len(found) if found else None
