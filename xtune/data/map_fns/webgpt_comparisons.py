"""OpenAI's WebGPT comparisons: two answers with quotes from the web, each with a score."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from xtune.data.map_fns.base import describe, field, text_field
from xtune.data.map_fns.judgement import number_field, with_source
from xtune.data.map_fns.literal import held
from xtune.data.map_fns.preference import preference_of, said
from xtune.data.map_fns.ranking import asked
from xtune.errors import DataError
from xtune.registry import MAP_FNS
from xtune.structures import Preference

__all__ = ["webgpt_comparisons_map_fn"]

_MARKS = re.compile(r"[ \t]*\[\d+(?:\s*,\s*\d+)*\]")


@MAP_FNS.register_module("webgpt_comparisons")
def webgpt_comparisons_map_fn(row: dict[str, Any]) -> Preference:
    """Read `question` (its full_text), `answer_0`, `answer_1`, `score_0` and `score_1`.

    Marks of quotes, '[1]' or '[1, 2]', are taken out of the answers, for the model has no quotes.
    The difference of the scores is the margin. Equal scores are a tie, kept as a pair with the soft
    label 0.5, of which the first answer counts as chosen; losses without soft labels should leave
    such rows out. The question's data set is the source.

    >>> webgpt_comparisons_map_fn({
    ...     'question': {'dataset': 'eli5', 'full_text': 'Two and two?'},
    ...     'answer_0': 'Five [1].', 'answer_1': 'Four [1, 2].', 'score_0': -0.5, 'score_1': 0.5})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'prompt': [{'role': 'user', 'content': 'Two and two?'}],
     'chosen': [{'role': 'assistant', 'content': 'Four.'}],
     'rejected': [{'role': 'assistant', 'content': 'Five.'}],
     'margin': 1.0, 'source': 'eli5'}

    Raises:
        UnusableRow: an empty question or answer, or both answers are the same.
        DataError: a field is missing or of another form.
    """
    question = held(field(row, "question"), name="question")
    if not isinstance(question, Mapping):
        raise DataError(f"field 'question' must be an object, not {describe(question)}")
    prompt = asked(text_field(question, "full_text", of="the question"))
    answers = [_MARKS.sub("", text_field(row, f"answer_{n}")) for n in (0, 1)]
    scores = [number_field(row, f"score_{n}") for n in (0, 1)]
    best = 0 if scores[0] >= scores[1] else 1
    pair = preference_of(prompt, said(answers[best]), said(answers[1 - best]))
    pair["margin"] = scores[best] - scores[1 - best]
    if scores[0] == scores[1]:
        pair["soft_label"] = 0.5
    return with_source(pair, question.get("dataset"))
