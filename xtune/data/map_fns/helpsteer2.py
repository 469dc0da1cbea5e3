"""NVIDIA's HelpSteer2: answers to one prompt, each rated by people from 0 to 4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xtune.data.map_fns.base import describe, field, text_field
from xtune.data.map_fns.helpsteer2_preference import helpsteer_prompt
from xtune.data.map_fns.judgement import number_field, ranked_by
from xtune.data.map_fns.literal import held_list
from xtune.errors import DataError
from xtune.registry import MAP_FNS
from xtune.structures import Ranking

__all__ = ["helpsteer2_map_fn"]


@MAP_FNS.register_module("helpsteer2")
def helpsteer2_map_fn(row: dict[str, Any], *, by: str = "helpfulness") -> Ranking:
    """Read `prompt` and `gathered`: the file's rows of that prompt, each with response and ratings.

    The file has an answer a row, and the two of a prompt follow each other: the source 'gathered'
    puts them together, `data_path=dict(type='gathered', path='nvidia/HelpSteer2',
    by='prompt')`. Equal ratings are a tie; the difference is the margin.

    >>> helpsteer2_map_fn({'prompt': 'Two and two?', 'gathered': [
    ...     {'prompt': 'Two and two?', 'response': 'Five.', 'helpfulness': 1},
    ...     {'prompt': 'Two and two?', 'response': 'Four.', 'helpfulness': 4}]})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'prompt': [{'role': 'user', 'content': 'Two and two?'}],
     'answers': [[{'role': 'assistant', 'content': 'Four.'}],
                 [{'role': 'assistant', 'content': 'Five.'}]],
     'ranks': [0, 1], 'scores': [4, 1]}

    Args:
        row: a gathered row.
        by: the rating that decides: helpfulness, correctness, coherence, complexity, verbosity.

    Raises:
        UnusableRow: a prompt with one answer, equal ratings, an empty prompt.
        DataError: a field is missing or of another form.
    """
    prompt = helpsteer_prompt(text_field(row, "prompt"))
    if "gathered" not in row and "response" in row:
        raise DataError(
            "the row has no field 'gathered': HelpSteer2 has an answer a row. Put those of a "
            "prompt together: data_path=dict(type='gathered', path=…, by='prompt')"
        )
    rows = held_list(field(row, "gathered"), name="gathered", of="rows")
    texts, scores = [], []
    for place, one in enumerate(rows):
        if not isinstance(one, Mapping):
            raise DataError(f"gathered[{place}] must be an object, not {describe(one)}")
        one.get("prompt")  # the same as the row's own: they were gathered by it
        texts.append(text_field(one, "response", of=f"gathered[{place}]"))
        scores.append(number_field(one, by, of=f"gathered[{place}]"))
    return ranked_by(prompt, texts, scores)
