"""OpenAI's TL;DR comparisons: a post or an article with two summaries, one of them chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from xtune.data.map_fns.base import UnusableRow, describe, field, text_field
from xtune.data.map_fns.judgement import which_field, with_source
from xtune.data.map_fns.literal import held, held_list
from xtune.data.map_fns.preference import preference_of, said
from xtune.data.map_fns.ranking import asked
from xtune.errors import DataError
from xtune.registry import MAP_FNS
from xtune.structures import Preference

__all__ = ["summarize_from_feedback_map_fn"]


@MAP_FNS.register_module("summarize_from_feedback")
def summarize_from_feedback_map_fn(
    row: dict[str, Any], *, source: Literal["batch", "policies"] = "batch"
) -> Preference:
    r"""Read `info`, `summaries` (two of {text, policy}), `choice` (0 or 1) and `batch` (optional).

    A Reddit post is asked for as the paper has it, SUBREDDIT, TITLE, POST and 'TL;DR:'; a news
    article (its post is null) with 'TL;DR:' after it. The pair's source is the batch that it was
    judged in, or with source='policies' the two that wrote the summaries.

    >>> summarize_from_feedback_map_fn({
    ...     'info': {'subreddit': 'ask', 'title': 'Sums', 'post': 'I add.', 'article': None},
    ...     'summaries': [{'text': ' Bad.', 'policy': 'a'}, {'text': ' Good.', 'policy': 'b'}],
    ...     'choice': 1, 'batch': 'batch3'}) # doctest: +NORMALIZE_WHITESPACE
    {'prompt': [{'role': 'user',
                 'content': 'SUBREDDIT: r/ask\n\nTITLE: Sums\n\nPOST: I add.\n\nTL;DR:'}],
     'chosen': [{'role': 'assistant', 'content': 'Good.'}],
     'rejected': [{'role': 'assistant', 'content': 'Bad.'}],
     'source': 'batch3'}

    Args:
        row: a raw row of the part 'comparisons'.
        source: what the pair's source is.

    Raises:
        UnusableRow: an empty post or summary, or both are the same.
        DataError: a field is missing or of another form.
    """
    if source not in ("batch", "policies"):
        raise DataError(f"source={source!r} is unknown; allowed: 'batch', 'policies'")
    info = held(field(row, "info"), name="info")
    if not isinstance(info, Mapping):
        raise DataError(f"field 'info' must be an object, not {describe(info)}")
    summaries = held_list(field(row, "summaries"), name="summaries", of="summaries")
    if len(summaries) != 2 or not all(isinstance(one, Mapping) for one in summaries):
        raise DataError(f"field 'summaries' must be two objects, not {describe(summaries)}")
    choice = which_field(row, "choice")
    better, worse = summaries[choice], summaries[1 - choice]
    texts = [text_field(one, "text", of="a summary").strip() for one in (better, worse)]
    pair = preference_of(_prompt(info), said(texts[0]), said(texts[1]))
    policies = sorted(str(one.get("policy") or "?") for one in summaries)
    batch = row.get("batch")
    return with_source(pair, batch if source == "batch" else " and ".join(policies))


def _prompt(info: Mapping[str, Any]) -> list[dict[str, str]]:
    said_of = {
        name: text_field(info, name, of="info") if info.get(name) is not None else ""
        for name in ("subreddit", "title", "post", "article")
    }
    if said_of["post"]:
        parts = {"SUBREDDIT": "subreddit", "TITLE": "title", "POST": "post"}
        lines = [f"{name}: {said_of[key]}" for name, key in parts.items() if said_of[key]]
        lines[0] = lines[0].replace("SUBREDDIT: ", "SUBREDDIT: r/", 1)
    elif said_of["article"]:
        lines = [said_of["article"]]
    else:
        raise UnusableRow("empty request")
    return asked("\n\n".join([*lines, "TL;DR:"]))
