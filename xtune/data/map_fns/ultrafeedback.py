"""UltraFeedback as OpenBMB published it: four models' answers, each rated by GPT-4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from xtune.data.map_fns.base import UnusableRow, describe, field, text_field
from xtune.data.map_fns.judgement import ranked_by, with_source
from xtune.data.map_fns.literal import held, held_list
from xtune.data.map_fns.ranking import asked
from xtune.errors import DataError
from xtune.registry import MAP_FNS
from xtune.structures import Ranking

__all__ = ["ultrafeedback_map_fn"]

_ASPECTS = ("helpfulness", "honesty", "instruction_following", "truthfulness")
_UNKNOWN = ("n/a", "na", "none", "")


@MAP_FNS.register_module("ultrafeedback")
def ultrafeedback_map_fn(
    row: dict[str, Any], *, by: Literal["ratings", "overall_score"] = "ratings"
) -> Ranking:
    """Read `instruction` and `completions`: objects with `response` and `annotations`.

    An answer's score is the mean of its ratings (helpfulness, honesty, instruction following,
    truthfulness), each `annotations[…]['Rating']`, a number as text. An aspect that is 'N/A' for
    one of the answers is left out for all. With by='overall_score' it is that field, which is known
    to be wrong for some answers: bad ones have a 10. `source` (may be missing) stays with the row.

    >>> ultrafeedback_map_fn({'source': 'flan', 'instruction': 'Two and two?', 'completions': [
    ...     {'response': 'Five.', 'annotations': {'helpfulness': {'Rating': '1'}}},
    ...     {'response': 'Four.', 'annotations': {'helpfulness': {'Rating': '5'}}}]})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'prompt': [{'role': 'user', 'content': 'Two and two?'}],
     'answers': [[{'role': 'assistant', 'content': 'Four.'}],
                 [{'role': 'assistant', 'content': 'Five.'}]],
     'ranks': [0, 1], 'scores': [5.0, 1.0], 'source': 'flan'}

    Args:
        row: a raw row.
        by: what the answers are ranked by.

    Raises:
        UnusableRow: an empty instruction, fewer than two answers, no rating that all have, a tie.
        DataError: a field is missing or of another form.
    """
    if by not in ("ratings", "overall_score"):
        raise DataError(f"by={by!r} is unknown; allowed: 'ratings', 'overall_score'")
    prompt = asked(text_field(row, "instruction"))
    completions = held_list(field(row, "completions"), name="completions", of="objects")
    texts = []
    for place, completion in enumerate(completions):
        if not isinstance(completion, Mapping):
            raise DataError(f"completions[{place}] must be an object, not {describe(completion)}")
        texts.append(text_field(completion, "response", of=f"completions[{place}]"))
    if by == "overall_score":
        scores = [_number(field(each, "overall_score", of="a completion")) for each in completions]
        if None in scores:
            raise UnusableRow("an answer without overall_score")
    else:
        scores = list(_means(completions))
    ranking = ranked_by(prompt, texts, [score for score in scores if score is not None])
    return with_source(ranking, row.get("source"))


def _means(completions: list[Mapping[str, Any]]) -> list[float]:
    """The mean rating of each answer, over the aspects that all of them have."""
    ratings = []
    for place, completion in enumerate(completions):
        of = f"completions[{place}]"
        annotations = held(field(completion, "annotations", of=of), name="annotations")
        if not isinstance(annotations, Mapping):
            raise DataError(f"the annotations of {of} are no object: {describe(annotations)}")
        found: dict[str, float] = {}
        for aspect in _ASPECTS:
            annotation = annotations.get(aspect)
            given = annotation.get("Rating") if isinstance(annotation, Mapping) else None
            if (rating := _number(given)) is not None:
                found[aspect] = rating
        ratings.append(found)
    common = set.intersection(*map(set, ratings)) if ratings else set()
    if ratings and not common:
        raise UnusableRow("no rating that all answers have")
    return [sum(found[aspect] for aspect in common) / len(common) for found in ratings]


def _number(given: object) -> float | None:
    """A rating, or None where there is none."""
    if given is None or (isinstance(given, str) and given.strip().lower() in _UNKNOWN):
        return None
    try:
        return float(given)  # type: ignore[arg-type]
    except (TypeError, ValueError) as error:
        raise DataError(f"a rating must be a number or 'N/A', not {describe(given)}") from error
