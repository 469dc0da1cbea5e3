"""Answers that were judged one by one, good or bad, in TRL's form for KTO: trl-lib/kto-mix-14k."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.base import UnusableRow, describe, field, flag
from xtune.data.map_fns.dialogue import checked_messages
from xtune.data.map_fns.judgement import with_source
from xtune.data.map_fns.literal import messages_or_text
from xtune.data.map_fns.preference import said
from xtune.data.map_fns.ranking import asked
from xtune.data.map_fns.tools import tools_of
from xtune.errors import DataError
from xtune.registry import MAP_FNS
from xtune.structures import UnpairedPreference

__all__ = ["unpaired_preference_map_fn"]


@MAP_FNS.register_module("unpaired_preference")
def unpaired_preference_map_fn(row: dict[str, Any]) -> UnpairedPreference:
    """Read `prompt` and `completion`, texts or messages, and `label`: whether it is a good one.

    A label of 1 or 0 is true or false. `tools` (optional) are described in the prompt, `source`
    (optional) names where the row comes from.

    >>> unpaired_preference_map_fn({'prompt': 'Two and two?', 'completion': 'Five.',
    ...     'label': False, 'source': 'sums'}) # doctest: +NORMALIZE_WHITESPACE
    {'prompt': [{'role': 'user', 'content': 'Two and two?'}],
     'completion': [{'role': 'assistant', 'content': 'Five.'}],
     'label': False, 'source': 'sums'}

    Raises:
        UnusableRow: an empty prompt or answer.
        DataError: a field is missing or of another form.
    """
    label = field(row, "label")
    if label in (0, 1) and not isinstance(label, bool):
        label = bool(label)
    judged = flag(label, name="label")
    prompt = messages_or_text(field(row, "prompt"), name="prompt")
    completion = messages_or_text(field(row, "completion"), name="completion")
    asking = asked(prompt) if isinstance(prompt, str | None) else prompt
    saying = said(completion) if isinstance(completion, str | None) else completion
    for name, value in (("prompt", asking), ("completion", saying)):
        if not isinstance(value, list):
            raise DataError(f"field {name!r} must be a text or messages, not {describe(value)}")
    if not saying:
        raise UnusableRow("empty answer")
    made: UnpairedPreference = {
        "prompt": checked_messages(asking, of=" of the prompt"),
        "completion": checked_messages(saying, of=" of the completion"),
        "label": judged,
    }
    if made["completion"][-1]["role"] != "assistant":
        raise DataError("'completion' must end with a message of the role assistant")
    if tools := tools_of(row.get("tools")):
        made["tools"] = tools
    return with_source(made, row.get("source"))
