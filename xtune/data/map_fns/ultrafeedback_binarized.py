"""UltraFeedback's best answer against another one, as Hugging Face's Zephyr was trained on it."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.judgement import by_scores, number_field
from xtune.data.map_fns.preference import pair_of_dialogues
from xtune.registry import MAP_FNS
from xtune.structures import Preference

__all__ = ["ultrafeedback_binarized_map_fn"]


@MAP_FNS.register_module("ultrafeedback_binarized")
def ultrafeedback_binarized_map_fn(row: dict[str, Any]) -> Preference:
    """Read `chosen` and `rejected`, messages with the prompt, `score_chosen` and `score_rejected`.

    The difference of the scores is the margin; equal scores are a tie. The splits for preferences
    are train_prefs and test_prefs. The row's `prompt`, a text, and `messages` say the same again
    and are not read.

    >>> ultrafeedback_binarized_map_fn({
    ...     'chosen': [{'role': 'user', 'content': 'Two and two?'},
    ...                {'role': 'assistant', 'content': 'Four.'}],
    ...     'rejected': [{'role': 'user', 'content': 'Two and two?'},
    ...                  {'role': 'assistant', 'content': 'Five.'}],
    ...     'score_chosen': 8.5, 'score_rejected': 6.0}) # doctest: +NORMALIZE_WHITESPACE
    {'prompt': [{'role': 'user', 'content': 'Two and two?'}],
     'chosen': [{'role': 'assistant', 'content': 'Four.'}],
     'rejected': [{'role': 'assistant', 'content': 'Five.'}],
     'margin': 2.5}

    Raises:
        UnusableRow: a tie, an empty message, nothing in common, or both answers are the same.
        DataError: a field is missing or of another form.
    """
    pair = pair_of_dialogues(row)
    scores = number_field(row, "score_chosen"), number_field(row, "score_rejected")
    return {**pair, "margin": by_scores(*scores)}
