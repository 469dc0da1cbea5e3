"""Prompts and outputs, with or without training on the prompt."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.pair import pair
from xtune.registry import MAP_FNS
from xtune.structures import Conversation

__all__ = ["prompt_output_map_fn"]


@MAP_FNS.register_module("prompt_output")
def prompt_output_map_fn(row: dict[str, Any], *, train_on_inputs: bool = False) -> Conversation:
    """Read `prompt` and `output`.

    To train on the prompt too: `map_fn = dict(type='prompt_output', train_on_inputs=True)`. Then
    everything up to the end of the output is, as the template writes it.

    >>> prompt_output_map_fn({'prompt': 'Two and two?', 'output': 'Four.'})
    ... # doctest: +NORMALIZE_WHITESPACE
    {'messages': [{'role': 'user', 'content': 'Two and two?'},
                  {'role': 'assistant', 'content': 'Four.'}]}

    Args:
        row: a raw row.
        train_on_inputs: train on the prompt too.

    Raises:
        UnusableRow: nothing is asked, or the output is empty.
        DataError: a field is missing or not text.
    """
    made = pair(row, asked="prompt", answer="output")
    return {**made, "train_on_inputs": True} if train_on_inputs else made
