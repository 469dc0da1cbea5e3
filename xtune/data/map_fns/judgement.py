"""What a map_fn says of answers (a margin, ranks, a label), and what it must not say."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, TypeVar, cast

from xtune.data.map_fns.base import UnusableRow, describe, field
from xtune.errors import DataError
from xtune.structures import Message, Ranking

__all__ = [
    "TIE",
    "by_scores",
    "number_field",
    "ranked_by",
    "require_judgement",
    "which_field",
    "with_source",
]

TIE = "a tie: no answer is better than another"

_Made = TypeVar("_Made", bound=Mapping[str, Any])


def require_judgement(made: Mapping[str, Any]) -> None:
    """Check what a map_fn returned for answers that were judged; all else passes.

    >>> require_judgement({'prompt': [], 'chosen': [], 'rejected': [], 'soft_label': 3})
    Traceback (most recent call last):
    ...
    xtune.errors.DataError: 'soft_label' must be a number from 0.5 (a tie) to 1, not int 3

    Args:
        made: as structures.py describes it; its messages have been looked at.

    Raises:
        UnusableRow: it says that the rejected answer is the better one, or that none is.
        DataError: a part is missing or of another form.
    """
    if "chosen" in made or "rejected" in made:
        _require_pair(made)
    elif "answers" in made:
        _require_ranking(made)
    elif "completion" in made or "label" in made:
        _require_parts(made, "prompt", "completion", "label")
        if not isinstance(made["label"], bool):
            raise DataError(f"'label' must be true or false, not {describe(made['label'])}")
    if "prompt" in made:
        for name in ("source", "form"):
            if name in made and not isinstance(made[name], str):
                raise DataError(f"{name!r} must be a text, not {describe(made[name])}")


def number_field(row: Mapping[str, Any], name: str, *, of: str = "the row") -> float:
    """Return the number in `row[name]`; a table of text may hold it as text.

    >>> number_field({'score': '7.5'}, 'score')
    7.5

    Args:
        row: as it was read.
        name: of the field.
        of: what the row is called in messages.

    Raises:
        DataError: there is no such field, or it holds something else than a finite number.
    """
    value = field(row, name, of=of)
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = float(value)
    if not _is_number(value):
        raise DataError(f"field {name!r} of {of} must be a number, not {describe(value)}")
    return cast(float, value)


def which_field(row: Mapping[str, Any], name: str) -> int:
    """Return the 0 or 1 in `row[name]`, the number of one of two answers.

    Args:
        row: as it was read.
        name: of the field.

    Raises:
        DataError: there is no such field, or it holds something else.
    """
    number = number_field(row, name)
    if number not in (0, 1):
        raise DataError(f"field {name!r} must be 0 or 1, not {number:g}")
    return int(number)


def by_scores(better: float, worse: float) -> float:
    """Return the margin of a pair whose answers have scores.

    Args:
        better: of the answer that the row calls the chosen one.
        worse: of the other.

    Raises:
        UnusableRow: they are equal, or the other way round.
    """
    if better == worse:
        raise UnusableRow(TIE)
    if better < worse:
        raise UnusableRow("by its margin the rejected answer is the better one")
    return better - worse


def ranked_by(
    prompt: Sequence[Mapping[str, Any]], texts: Sequence[str], scores: Sequence[float]
) -> Ranking:
    """Put answers that have scores in order, the best first; of equal ones the first stays first.

    Args:
        prompt: messages before the answers.
        texts: of the answers.
        scores: one each.

    Raises:
        UnusableRow: fewer than two answers, or all have the same score.
    """
    order = sorted(range(len(texts)), key=lambda n: -scores[n])
    worths = sorted(set(scores), reverse=True)
    ranking: Ranking = {
        "prompt": cast(list[Message], list(prompt)),
        "answers": [[{"role": "assistant", "content": texts[n]}] for n in order],
        "ranks": [worths.index(scores[n]) for n in order],
        "scores": [scores[n] for n in order],
    }
    require_judgement(ranking)
    return ranking


def with_source(made: _Made, source: object) -> _Made:
    """Return the same with the name of where it comes from, if it has one.

    Args:
        made: a pair, a ranking or a judged answer.
        source: as the row has it.
    """
    if isinstance(source, str) and source.strip():
        return cast(_Made, {**made, "source": source})
    return made


def _require_pair(made: Mapping[str, Any]) -> None:
    _require_parts(made, "prompt", "chosen", "rejected")
    if "margin" in made:
        _require_numbers("margin", [made["margin"]])
        if made["margin"] < 0:
            raise UnusableRow("by its margin the rejected answer is the better one")
    if "soft_label" in made:
        soft = made["soft_label"]
        if not _is_number(soft) or not 0.5 <= soft <= 1:
            raise DataError(
                f"'soft_label' must be a number from 0.5 (a tie) to 1, not {describe(soft)}"
            )
    if "safe" in made:
        safe = made["safe"]
        if not (
            isinstance(safe, list) and len(safe) == 2 and all(isinstance(one, bool) for one in safe)
        ):
            raise DataError(f"'safe' must be two booleans, not {describe(safe)}")


def _require_ranking(made: Mapping[str, Any]) -> None:
    _require_parts(made, "prompt", "answers")
    answers = made["answers"]
    if not isinstance(answers, list):
        raise DataError(f"'answers' must be a list of lists of messages, not {describe(answers)}")
    if len(answers) < 2:
        raise UnusableRow("fewer than two answers")
    for name in ("ranks", "scores"):
        if name in made:
            values = made[name]
            if not isinstance(values, list) or len(values) != len(answers):
                raise DataError(
                    f"{name!r} must have a number for each of the {len(answers)} answers, not "
                    f"{describe(values)}"
                )
            _require_numbers(name, values)
    ranks, scores = made.get("ranks", []), made.get("scores", [])
    if not all(isinstance(rank, int) and rank >= 0 for rank in ranks):
        raise DataError(f"'ranks' must be whole numbers from 0 on, not {describe(ranks)}")
    if not all(one <= other for one, other in pairwise(ranks)):
        raise DataError(f"'answers' must come best first, and their ranks are {ranks}")
    if any(one < other for one, other in pairwise(scores)):
        raise DataError(
            f"'answers' must come best first, and their scores are {scores}: none may be above the "
            "one before it"
        )
    decisive = ranks or scores
    if decisive and decisive[0] == decisive[-1]:
        raise UnusableRow(TIE)


def _require_parts(made: Mapping[str, Any], *names: str) -> None:
    missing = [name for name in names if name not in made]
    if missing:
        raise DataError(
            f"the function returns {', '.join(map(repr, made))} and no "
            f"{' and no '.join(map(repr, missing))}"
        )


def _require_numbers(name: str, values: Sequence[object]) -> None:
    for value in values:
        if not _is_number(value):
            raise DataError(f"{name!r} must be a finite number, not {describe(value)}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
