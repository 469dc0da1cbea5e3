"""Tokens that some other program has made, with what of them is trained."""

from __future__ import annotations

from typing import Any

from xtune.data.map_fns.base import UnusableRow, describe, field
from xtune.data.map_fns.literal import held_list
from xtune.errors import DataError
from xtune.registry import MAP_FNS
from xtune.structures import IGNORE_INDEX, Conversation

__all__ = ["tokenized_map_fn"]


@MAP_FNS.register_module("tokenized")
def tokenized_map_fn(row: dict[str, Any]) -> Conversation:
    """Read `input_ids` and `labels`, the same ids with -100 where not trained, not shifted.

    In place of labels there may be a `label_mask`, true where trained, as OLMo has it; without
    either all tokens are trained. Tokens whose `attention_mask` is 0 are padding and left out.

    No template is applied. The ids must be those of the config's tokenizer, which cannot be
    checked but for their range.

    >>> tokenized_map_fn({'input_ids': [5, 6, 7, 0], 'labels': [-100, 6, 7, -100]})
    {'input_ids': [5, 6, 7, 0], 'trained': [False, True, True, False]}

    Raises:
        UnusableRow: there are no tokens, or none is trained.
        DataError: `input_ids` is missing, a field holds something else, their lengths differ, or
            a label is neither -100 nor its token, as in labels that are shifted.
    """
    ids = _integers(row, "input_ids")
    if row.get("labels") is not None:
        labels = _integers(row, "labels", length=len(ids))
        for place, (token, label) in enumerate(zip(ids, labels, strict=True)):
            if label not in (IGNORE_INDEX, token):
                raise DataError(
                    f"labels[{place}] is {label}, but must be input_ids[{place}], {token}, or "
                    f"{IGNORE_INDEX}: labels are not shifted here"
                )
        trained = [label != IGNORE_INDEX for label in labels]
    elif row.get("label_mask") is not None:
        trained = [flag != 0 for flag in _integers(row, "label_mask", length=len(ids))]
    else:
        trained = [True] * len(ids)
    if row.get("attention_mask") is not None:
        attended = _integers(row, "attention_mask", length=len(ids))
        ids = [token for token, seen in zip(ids, attended, strict=True) if seen]
        trained = [flag for flag, seen in zip(trained, attended, strict=True) if seen]
    if not any(trained[1:]):  # nothing comes before the first, so it is never predicted
        raise UnusableRow("no token is trained")
    return {"input_ids": ids, "trained": trained}


def _integers(row: dict[str, Any], name: str, length: int | None = None) -> list[int]:
    values = held_list(field(row, name), name=name, of="integers")
    if not all(isinstance(value, int) for value in values):
        raise DataError(f"field {name!r} must be a list of integers, not {describe(values)}")
    if length not in (None, len(values)):
        raise DataError(f"{name!r} has {len(values)} entries, but 'input_ids' has {length}")
    return values
