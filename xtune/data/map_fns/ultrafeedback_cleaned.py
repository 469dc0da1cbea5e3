"""UltraFeedback's pairs as Argilla has cleaned them, by the mean of the ratings."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.judgement import by_scores, number_field, with_source
from xtune.data.map_fns.preference import pair_of_dialogues
from xtune.registry import MAP_FNS
from xtune.structures import Preference

__all__ = ["ultrafeedback_cleaned_map_fn"]


@MAP_FNS.register_module("ultrafeedback_cleaned")
def ultrafeedback_cleaned_map_fn(row: dict[str, Any]) -> Preference:
    """Read `chosen` and `rejected`, messages with the prompt, `chosen-rating`, `rejected-rating`.

    argilla/ultrafeedback-binarized-preferences-cleaned. The difference of the ratings is the
    margin, equal ratings are a tie; `source` (may be missing) stays with the pair.

    >>> ultrafeedback_cleaned_map_fn({'source': 'sharegpt',
    ...     'chosen': [{'role': 'user', 'content': 'Two and two?'},
    ...                {'role': 'assistant', 'content': 'Four.'}],
    ...     'rejected': [{'role': 'user', 'content': 'Two and two?'},
    ...                  {'role': 'assistant', 'content': 'Five.'}],
    ...     'chosen-rating': 5.0, 'rejected-rating': 3.75}) # doctest: +NORMALIZE_WHITESPACE
    {'prompt': [{'role': 'user', 'content': 'Two and two?'}],
     'chosen': [{'role': 'assistant', 'content': 'Four.'}],
     'rejected': [{'role': 'assistant', 'content': 'Five.'}],
     'margin': 1.25, 'source': 'sharegpt'}

    Raises:
        UnusableRow: a tie, an empty message, nothing in common, or both answers are the same.
        DataError: a field is missing or of another form.
    """
    pair = pair_of_dialogues(row)
    ratings = number_field(row, "chosen-rating"), number_field(row, "rejected-rating")
    pair["margin"] = by_scores(*ratings)
    return with_source(pair, row.get("source"))
