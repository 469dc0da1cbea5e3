"""PKU-SafeRLHF: of two answers the better one and the safer one, and whether each is safe."""

from __future__ import annotations

from typing import Any, Literal

from xtune.data.map_fns.base import field, flag, text_field
from xtune.data.map_fns.judgement import which_field, with_source
from xtune.data.map_fns.preference import preference_of, said
from xtune.data.map_fns.ranking import asked
from xtune.errors import DataError
from xtune.registry import MAP_FNS
from xtune.structures import Preference

__all__ = ["pku_saferlhf_map_fn"]


@MAP_FNS.register_module("pku_saferlhf")
def pku_saferlhf_map_fn(
    row: dict[str, Any], *, by: Literal["better", "safer"] = "better"
) -> Preference:
    """Read `prompt`, `response_0`, `response_1`, and the verdicts on them.

    by='better' takes `better_response_id`, for a reward model; by='safer' takes
    `safer_response_id`, for a cost model. They may disagree. `is_response_0_safe` and
    `is_response_1_safe` stay with the pair as its signs, the chosen answer's first.
    `response_0_source` and `response_1_source` (optional), the models, are the source.

    >>> pku_saferlhf_map_fn({'prompt': 'Two and two?', 'response_0': 'Five.', 'response_1': 'Four.',
    ...     'is_response_0_safe': False, 'is_response_1_safe': True, 'better_response_id': 1,
    ...     'safer_response_id': 1, 'response_0_source': 'a', 'response_1_source': 'b'})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'prompt': [{'role': 'user', 'content': 'Two and two?'}],
     'chosen': [{'role': 'assistant', 'content': 'Four.'}],
     'rejected': [{'role': 'assistant', 'content': 'Five.'}],
     'safe': [True, False], 'source': 'a and b'}

    Args:
        row: a raw row; the variants -10K and -30K have the same fields.
        by: which verdict tells the chosen answer.

    Raises:
        UnusableRow: an empty prompt or answer, or both answers are the same.
        DataError: a field is missing or of another form.
    """
    if by not in ("better", "safer"):
        raise DataError(f"by={by!r} is unknown; allowed: 'better', 'safer'")
    ids = {name: which_field(row, f"{name}_response_id") for name in ("better", "safer")}
    best = ids[by]
    answers = [text_field(row, f"response_{n}") for n in (0, 1)]
    names = [f"is_response_{n}_safe" for n in (0, 1)]
    safe = [flag(field(row, name), name=name) for name in names]
    prompt = asked(text_field(row, "prompt"))
    pair = preference_of(prompt, said(answers[best]), said(answers[1 - best]))
    pair["safe"] = [safe[best], safe[1 - best]]
    models = sorted({str(row[name]) for name in _SOURCES if row.get(name)})
    return with_source(pair, " and ".join(models))


_SOURCES = ("response_0_source", "response_1_source")
