"""NVIDIA's HelpSteer2-Preference: two answers, and how much better which of them is."""

from __future__ import annotations

import re
from typing import Any

from xtune.data.map_fns.base import UnusableRow, text_field
from xtune.data.map_fns.judgement import TIE, number_field
from xtune.data.map_fns.preference import preference_of, said
from xtune.errors import DataError
from xtune.registry import MAP_FNS
from xtune.structures import Preference

__all__ = ["helpsteer2_preference_map_fn", "helpsteer_prompt"]

_MARK = re.compile(r"\n?<extra_id_1>([^\n]*)\n")
_ROLES = {"User": "user", "Assistant": "assistant"}


@MAP_FNS.register_module("helpsteer2_preference")
def helpsteer2_preference_map_fn(row: dict[str, Any]) -> Preference:
    r"""Read `prompt`, `response_1`, `response_2` and `preference_strength`, -3 to 3.

    A negative strength says that the first answer is better, a positive one that the second is; 0
    is a tie. Its size is the margin. A prompt of several turns has '<extra_id_1>Assistant' and
    '<extra_id_1>User' before them.

    >>> helpsteer2_preference_map_fn({'prompt': 'Two and two?', 'response_1': 'Four.',
    ...     'response_2': 'Five.', 'preference_strength': -2}) # doctest: +NORMALIZE_WHITESPACE
    {'prompt': [{'role': 'user', 'content': 'Two and two?'}],
     'chosen': [{'role': 'assistant', 'content': 'Four.'}],
     'rejected': [{'role': 'assistant', 'content': 'Five.'}],
     'margin': 2}

    Raises:
        UnusableRow: a tie, an empty prompt or answer, or both answers are the same.
        DataError: a field is missing or of another form.
    """
    strength = number_field(row, "preference_strength")
    answers = [said(text_field(row, f"response_{n}")) for n in (1, 2)]
    if strength == 0:
        raise UnusableRow(TIE)
    better, worse = answers if strength < 0 else reversed(answers)
    pair = preference_of(helpsteer_prompt(text_field(row, "prompt")), better, worse)
    return {**pair, "margin": abs(strength)}


def helpsteer_prompt(text: str) -> list[dict[str, str]]:
    r"""Return the messages of a prompt; the first, without a mark, is the user's.

    >>> text = 'Hi\n<extra_id_1>Assistant\nHello\n<extra_id_1>User\n?'
    >>> [message['role'] for message in helpsteer_prompt(text)]
    ['user', 'assistant', 'user']

    Args:
        text: a prompt of HelpSteer2.

    Raises:
        DataError: a mark names somebody else than User and Assistant.
    """
    first, *parts = _MARK.split(text)
    messages = [{"role": "user", "content": first}] if first.strip() or not parts else []
    for speaker, content in zip(parts[::2], parts[1::2], strict=True):
        if speaker.strip() not in _ROLES:
            raise DataError(
                f"the mark <extra_id_1> names {speaker!r}; allowed: {', '.join(_ROLES)}"
            )
        messages.append({"role": _ROLES[speaker.strip()], "content": content})
    return messages
