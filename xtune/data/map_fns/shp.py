"""Stanford's human preferences: two comments on one post of Reddit, of which one was liked more."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.base import UnusableRow, text_field
from xtune.data.map_fns.judgement import number_field, which_field, with_source
from xtune.data.map_fns.preference import preference_of, said
from xtune.data.map_fns.ranking import asked
from xtune.registry import MAP_FNS
from xtune.structures import Preference

__all__ = ["shp_map_fn"]


@MAP_FNS.register_module("shp")
def shp_map_fn(row: dict[str, Any], *, ratio: float = 2.0, most: int = 5) -> Preference:
    """Read `history`, `human_ref_A`, `human_ref_B`, `labels` (1: A is better) and `score_ratio`.

    Pairs whose scores do not differ by the factor `ratio` tell little and are left out. Some posts
    have hundreds of pairs: with `data_path=dict(type='shp', path=…)` each row has a `pair_of_post`
    (optional), its place among those of its post, the clearest first, and the `most` first ones are
    used. `domain` (may be missing) is the source. A post that is too long loses its beginning, no
    answer its end.

    >>> shp_map_fn({'history': 'Two and two?', 'human_ref_A': 'Five.', 'human_ref_B': 'Four.',
    ...     'labels': 0, 'score_ratio': 3.5, 'domain': 'askscience', 'pair_of_post': 0})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'prompt': [{'role': 'user', 'content': 'Two and two?'}],
     'chosen': [{'role': 'assistant', 'content': 'Four.'}],
     'rejected': [{'role': 'assistant', 'content': 'Five.'}],
     'source': 'askscience'}

    Args:
        row: a raw row.
        ratio: the least score of the better comment over that of the other.
        most: pairs of a post.

    Raises:
        UnusableRow: the scores are near each other, the post has had its pairs, an empty text.
        DataError: a field is missing or of another form.
    """
    label = which_field(row, "labels")
    if number_field(row, "score_ratio") < ratio:
        raise UnusableRow(f"a score ratio below {ratio:g}")
    if "pair_of_post" in row and number_field(row, "pair_of_post") >= most:
        raise UnusableRow(f"more than {most} pairs of a post")
    first, second = text_field(row, "human_ref_A"), text_field(row, "human_ref_B")
    better, worse = (first, second) if label == 1 else (second, first)
    pair = preference_of(asked(text_field(row, "history")), said(better), said(worse))
    return with_source(pair, row.get("domain"))
