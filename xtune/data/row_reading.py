"""A row to the dialogues that it holds: its own one, or those of the answers that were judged."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, cast

from xtune.data.formats import kind_of
from xtune.data.judged import Judged, judged_alone, judged_together
from xtune.data.map_fns.base import MapFn, UnusableRow, fault
from xtune.data.map_fns.build import checked_return, name_of
from xtune.data.unread import read_row
from xtune.errors import DataError
from xtune.structures import Conversation

__all__ = ["JUDGED", "Makes", "Mismatch", "RowReading", "made_of", "reading_of"]

# What a row becomes: dialogues, and texts and tokens count as such; answers to one prompt that are
# held against each other; answers that each were judged alone; or prompts, whose answers the model
# writes itself, see prompts.py.
Makes: TypeAlias = Literal["dialogues", "pairs", "unpaired", "prompts"]
JUDGED: Mapping[Makes, tuple[str, ...]] = {  # of formats.kind_of, what each takes
    "pairs": ("preference pair", "ranking"),
    "unpaired": ("preference pair", "ranking", "judged answer"),
}


class RowReading(NamedTuple):
    """What a row holds.

    Attributes:
        made: what the map_fn returned.
        dialogues: its own one, or one for each answer that was judged.
        unread: the keys that nobody reads; see unread.py.
        judged: the answers of these dialogues, where they are judged.
        left_out: why other answers of the row are no dialogues.
    """

    made: Mapping[str, Any]
    dialogues: list[Conversation]
    unread: tuple[str, ...]
    judged: list[Judged]
    left_out: list[str]


class Mismatch(DataError):
    """The map_fn fails at a row."""


def reading_of(row: dict[str, Any], map_fn: MapFn, *, where: str, makes: Makes) -> RowReading:
    """Read a row.

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
    made, unread = made_of(row, map_fn, where=where)
    if makes not in JUDGED:
        _require_dialogue(made, where, map_fn)
        return RowReading(made, [cast(Conversation, made)], unread, [], [])
    _require_judged(made, where, map_fn, makes)
    judged, left_out = (judged_together if makes == "pairs" else judged_alone)(made)
    return RowReading(made, [one.conversation for one in judged], unread, judged, left_out)


def made_of(
    row: dict[str, Any], map_fn: MapFn, *, where: str
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return what a map_fn makes of a row, and the keys that it does not read.

    Args:
        row: the raw row.
        map_fn: reads it.
        where: it is, for messages.

    Raises:
        UnusableRow: nothing can be learnt from it.
        Mismatch: the map_fn cannot read it.
    """
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
        kinds = {"prompt": "prompts without answers"}
        kind = kinds.get(kind_of(made), f"{kind_of(made)}s")
        raise DataError(
            f"{where}: map_fn {name_of(map_fn)!r} makes {kind}, which supervised fine-tuning "
            "cannot learn from: it needs one dialogue a row. Name a map_fn that makes dialogues "
            "(xtune list-formats), or write one that takes the chosen answers: "
            "map_fn='my_code.py:name'"
        )


def _require_judged(made: dict[str, Any], where: str, map_fn: MapFn, makes: Makes) -> None:
    kind = kind_of(made)
    if kind in JUDGED[makes]:
        return
    another = "or train on dialogues: train_dataset.type='SFTDataset'"
    if kind == "judged answer":
        another = (
            "or learn from answers that are judged alone (KTO): "
            "train_dataset.type='UnpairedPreferenceDataset'"
        )
    wanted = {
        "pairs": ("pairs of a chosen and a rejected answer, or rankings", "pairs"),
        "unpaired": ("answers that are judged good or bad", "pairs or judged answers"),
    }[makes]
    raise DataError(
        f"{where}: map_fn {name_of(map_fn)!r} makes a {kind} of a row, and these data are to be "
        f"{wanted[0]}. Name a map_fn that makes {wanted[1]} (xtune list-formats), {another}"
    )
