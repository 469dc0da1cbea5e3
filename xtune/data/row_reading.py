"""A row to the dialogues that it holds: its own one, or the two sides of its pair."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias, cast

from xtune.data.formats import kind_of
from xtune.data.groups import sides_of
from xtune.data.map_fns.base import MapFn, UnusableRow, fault
from xtune.data.map_fns.build import checked_return, name_of
from xtune.data.unread import read_row
from xtune.errors import DataError
from xtune.structures import Conversation, Preference

__all__ = ["Makes", "Mismatch", "conversations_of"]

Makes: TypeAlias = Literal["dialogues", "pairs"]  # and texts and tokens count as dialogues


class Mismatch(DataError):
    """The map_fn fails at a row."""


def conversations_of(
    row: dict[str, Any], map_fn: MapFn, *, where: str, makes: Makes
) -> tuple[list[Conversation], tuple[str, ...]]:
    """Return the dialogue of a row, or those of its pair, and the keys that nobody reads.

    Args:
        row: the raw row.
        map_fn: reads it.
        where: it is, for messages.
        makes: what it is to become.

    Raises:
        UnusableRow: nothing can be learnt from it.
        Mismatch: the map_fn cannot read it.
        DataError: it becomes something else than is asked for.
    """
    made, unread = _made(map_fn, where, row)
    if makes == "pairs":
        _require_pair(made, where, map_fn)
        return sides_of(cast(Preference, made)), unread
    _require_dialogue(made, where, map_fn)
    return [cast(Conversation, made)], unread


def _made(map_fn: MapFn, where: str, row: dict[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What a map_fn makes of a row, and the keys that it does not read."""
    name = name_of(map_fn)
    try:
        made, unread = read_row(map_fn, row)
        return checked_return(made), unread
    except UnusableRow:
        raise
    except DataError as error:
        raise Mismatch(f"{where}: map_fn {name!r}: {fault(error)}") from error
    except Exception as error:  # a user's own function may fail in any way
        fields = ", ".join(map(repr, row)) or "none"
        raise Mismatch(
            f"{where}: map_fn {name!r} fails with {type(error).__name__}: {error}. "
            f"Fields of the row: {fields}"
        ) from error


def _require_dialogue(made: dict[str, Any], where: str, map_fn: MapFn) -> None:
    if "prompt" in made:
        kind = "preference pairs" if "chosen" in made else "prompts without answers"
        raise DataError(
            f"{where}: map_fn {name_of(map_fn)!r} makes {kind}, which supervised fine-tuning "
            "cannot learn from: it needs one dialogue a row. Name a map_fn that makes dialogues "
            "(xtune list-formats), or write one that takes the chosen answers: "
            "map_fn='my_code.py:name'"
        )


def _require_pair(made: dict[str, Any], where: str, map_fn: MapFn) -> None:
    if not {"prompt", "chosen", "rejected"} <= made.keys():
        raise DataError(
            f"{where}: map_fn {name_of(map_fn)!r} makes a {kind_of(made)} of a row, and these "
            "data are to be pairs of a chosen and a rejected answer. Name a map_fn that makes "
            "pairs (xtune list-formats), or train on dialogues: train_dataset.type='SFTDataset'"
        )
